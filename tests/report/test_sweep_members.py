"""What is read of the runs of a folder, and where they are looked for."""

import json

import pytest

from segexp.errors import ConfigError
from segexp.report.members import members, sweep_command, tail
from segexp.runs.directory import typed
from segexp.runs.find import run_folders
from tests.report import fabricate


def test_the_jobs_of_a_sweep(tmp_path):
    found = members(fabricate.small_sweep(tmp_path / "made"))
    assert [run.state for run in found] == ["done"] * 8 + ["failed", "failed", "pruned"]
    first = found[0]
    assert first.overrides == ("backbone=small", "optimizer.lr=0.01", "seed=0")
    assert first.command == "segexp train backbone=small optimizer.lr=0.01 seed=0"
    assert (first.monitor, first.parameters) == ("val/miou", 5_300_000)
    assert first.seconds == pytest.approx(100.1, abs=0.01)
    assert found[8].error["what"] == "out of memory at batch 8"
    assert found[10].pruned == 300


def test_a_folder_of_runs_and_one_of_experiments(tmp_path):
    fabricate.small_sweep(tmp_path / "made")
    fabricate.run(tmp_path / "other", 77, {"backbone": "x"}, 0, 0.5)
    assert len(members(tmp_path / "made")) == 11
    assert len(members(tmp_path)) == 12
    assert [path.parent.name for path in run_folders(tmp_path)] == ["made"] * 11 + ["other"]


def test_a_folder_without_runs_is_refused(tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(ConfigError, match="the folder holds no runs") as caught:
        members(tmp_path)
    assert "the folder of a sweep" in caught.value.fix


def test_jobs_without_a_run_and_jobs_with_the_same_run(tmp_path):
    path = fabricate.run(tmp_path / "made", 1, {"backbone": "a"}, 0, 0.5)
    folder = fabricate.sweep(tmp_path / "made", [(path, ["backbone=a"], "done"), (path, ["backbone=b"], "done")])
    rows = json.loads((folder / "sweep.json").read_text())
    rows["jobs"].append({"overrides": ["backbone=no"], "path": None, "state": "failed", "cause": "config", "error": "no such option"})
    (folder / "sweep.json").write_text(json.dumps(rows))
    found = members(folder)
    assert [run.state for run in found] == ["done", "failed"]
    assert found[1].name == "backbone=no"
    assert found[1].command == "segexp train backbone=no"
    assert found[1].error == {"code": "config", "what": "no such option"}
    assert sweep_command(folder) == "segexp train -m backbone=small,large"


@pytest.mark.parametrize("name", ["status.json", "result.json", "overrides.txt", "log.txt"])
def test_broken_files_are_no_end(tmp_path, name):
    path = fabricate.run(tmp_path / "made", 1, {"backbone": "a"}, 0, 0.5)
    (path / name).write_text('{"state": "done", "cut o')
    (run,) = members(tmp_path / "made")
    assert run.path == path


def test_the_last_lines_of_a_long_log(tmp_path):
    (tmp_path / "log.txt").write_text("".join(f"line {i}\n\n" for i in range(10_000)))
    assert tail(tmp_path / "log.txt", 2) == ["line 9998", "line 9999"]
    assert tail(tmp_path / "absent.txt") == []
    assert tail(None) == []


def test_what_was_typed():
    assert typed("segexp train --allow=mine model=a 'data.root=/a b' ~callbacks") == ["model=a", "data.root=/a b", "~callbacks"]
    assert typed("segexp train 'unclosed") == []
