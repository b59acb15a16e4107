"""`segexp runs`: every state and every broken file has a row, in the order that was asked for."""

import csv
import io
import json
import os

import pytest

from segexp.cli.main import main
from segexp.errors import ConfigError
from segexp.ledger.rows import row, rows
from segexp.ledger.table import as_table, chosen, duration
from segexp.runs.lock import held
from tests.ledger.fabricated import dump, fabricate

FAILED = {"code": "memory", "what": "a step needs more memory\nthan there is", "where": "x", "fix": "y"}


@pytest.fixture
def outputs(tmp_path):
    """Six runs of two experiments, changed one after the other."""
    made = [
        fabricate(tmp_path, run_id="aaaaaaaaaaaa", miou=0.5),
        fabricate(tmp_path, run_id="bbbbbbbbbbbb", miou=0.9, more={"loss": 2.0}),
        fabricate(tmp_path, run_id="cccccccccccc", state="failed", error=FAILED, attempt=2),
        fabricate(tmp_path, "other", "dddddddddddd", state="running"),
        fabricate(tmp_path, "other", "eeeeeeeeeeee", state="preempted"),
        fabricate(tmp_path, "other", "ffffffffffff", miou=0.7, more={"loss": 1.0}),
    ]
    for number, folder in enumerate(made):
        os.utime(folder / "status.json", (1767323045 + 60 * number,) * 2)  # the first a moment of the start
    (tmp_path / "other" / "sweeps").mkdir()
    (tmp_path / "loose.txt").write_text("no run")
    return tmp_path


def ids(found):
    return "".join(r.id[0] for r in found)


def test_each_run_has_a_row_and_the_newest_is_first(outputs):
    found = chosen(list(rows(outputs)))
    assert ids(found) == "fedcba"
    assert [r.state for r in found] == ["done", "preempted", "interrupted", "failed", "done", "done"]
    first = found[0]
    assert (first.name, first.slug, first.host, first.attempts) == ("other", "shapes-fcn-tiny-s0", "here", 1)
    assert (first.step, first.steps, first.monitor, first.value, first.seconds) == (40, 40, "val/miou", 0.7, 300.0)
    assert found[3].error == "memory: a step needs more memory than there is"
    assert found[3].attempts == 2


def test_a_run_whose_lock_is_held_runs_and_the_look_at_it_keeps_nobody_out(outputs):
    path = outputs / "other" / "shapes-fcn-tiny-s0-dddddddddddd"
    with held(path / "lock"):
        assert row(path).state == "running"
    assert row(path).state == "interrupted"
    with held(path / "lock"):
        assert row(path).state == "running"


def test_the_best_so_far_of_an_unfinished_run_comes_from_its_checkpoints(outputs):
    path = outputs / "other" / "shapes-fcn-tiny-s0-eeeeeeeeeeee"
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "BEST").write_text("step-20")
    dump(path / "checkpoints" / "step-20.json", {"step": 20, "score": 0.25})
    assert (row(path).monitor, row(path).value) == ("val/miou", 0.25)


@pytest.mark.parametrize(
    ("name", "state", "told"),
    [
        ("status.json", "broken", "status.json can't be read (JSONDecodeError)"),
        ("result.json", "done", "result.json can't be read (JSONDecodeError)"),
        ("manifest.json", "done", "manifest.json can't be read"),
    ],
)
@pytest.mark.parametrize("text", ["", '{\n "id": "'])
def test_a_broken_file_is_told_in_its_row(outputs, name, state, told, text):
    path = outputs / "default" / "shapes-fcn-tiny-s0-aaaaaaaaaaaa"
    (path / name).write_text(text)
    found = {r.id[0]: r for r in rows(outputs)}
    assert (found["a"].state, found["a"].error) == (state, told)
    assert found["b"].value == 0.9
    assert told in as_table([found["a"]])


@pytest.mark.parametrize("content", ["[]", "null", '{"state": 1}', '"done"'])
def test_json_of_another_shape_is_broken_too(outputs, content):
    path = outputs / "default" / "shapes-fcn-tiny-s0-aaaaaaaaaaaa"
    (path / "status.json").write_text(content)
    assert row(path).state == "broken"
    (path / "result.json").write_text(content)
    row(path)


def test_a_deleted_result_is_told(outputs):
    path = outputs / "default" / "shapes-fcn-tiny-s0-aaaaaaaaaaaa"
    (path / "result.json").unlink()
    assert row(path).error == "result.json is gone"


def test_a_long_patch_is_not_taken_for_entries_of_the_manifest(tmp_path):
    path = fabricate(tmp_path, patch='\n "hostname": "elsewhere",\n "started": "never"\n' * 3)
    assert row(path).host == "here"


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("id", "abcdef"),
        ("-id", "fedcba"),
        ("value", "bfa"),
        ("-value", "afb"),
        ("val/loss", "fb"),  # less is better
        ("val/miou", "bfa"),
        ("state", "fbacde"),
    ],
)
def test_order(outputs, sort, order):
    assert ids(chosen(list(rows(outputs)), sort=sort)).startswith(order)


def test_states_and_how_many(outputs):
    found = list(rows(outputs))
    assert ids(chosen(found, states=["failed", "interrupted"])) == "dc"
    assert ids(chosen(found, last=2)) == "fe"


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"states": ["faild"]}, "there is no state 'faild'; --state=faild; fix: --state=failed"),
        ({"sort": "val/mio"}, "there is no column or figure 'val/mio'; --sort=val/mio; fix: --sort=val/miou"),
    ],
)
def test_slips(outputs, asked, text):
    with pytest.raises(ConfigError) as caught:
        chosen(list(rows(outputs)), **asked)
    assert str(caught.value) == text


def test_an_experiment_a_run_and_a_sweep_are_folders_of_runs(outputs):
    assert ids(rows(outputs / "other")) == "def"
    assert ids(rows(outputs / "other" / "shapes-fcn-tiny-s0-ffffffffffff")) == "f"
    sweep = outputs / "other" / "sweeps" / "seed-0123456789ab"
    sweep.mkdir()
    jobs = [{"path": f"../../shapes-fcn-tiny-s0-{letter * 12}"} for letter in "fdf"] + [{"path": None}, {"path": "../../gone"}]
    dump(sweep / "sweep.json", {"jobs": jobs})
    assert ids(rows(sweep)) == "fd"


def test_the_command_prints_a_table_json_and_csv(outputs, capsys):
    assert main(["runs", str(outputs), "--state=done", "--sort=val/miou"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["id", "name", "run", "state", "progress", "value", "when", "duration", "host", "attempts", "val/miou"]
    assert [line[0] for line in lines[1:4]] == ["b", "f", "a"]
    assert lines[-1] == f"3 of 6 runs in {outputs}"
    assert main(["runs", str(outputs), "--json", "--last=1"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["id"], found["figures"]["val/iou/class-3"]) == ("ffffffffffff", 0.7)
    assert main(["runs", str(outputs), "--csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["val/miou"] for line in table] == ["0.7", "", "", "", "0.9", "0.5"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nowhere"], "there is no such folder; nowhere"),
        (["--last=none"], "how many rows? a whole number from 1; --last=none; fix: --last=20"),
        (["--sate=failed"], "unknown option --sate"),
        (["a", "b"], "'b' is no override"),
    ],
)
def test_slips_of_the_command(words, text, capsys):
    assert main(["runs", *words]) == 2
    assert text in capsys.readouterr().err


def test_an_empty_folder(tmp_path, capsys):
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no runs in {tmp_path}\n"


@pytest.mark.parametrize(("seconds", "text"), [(None, "-"), (42.4, "42 s"), (725, "12:05"), (11525, "3:12:05"), (183600, "2 d 3 h")])
def test_durations(seconds, text):
    assert duration(seconds) == text
