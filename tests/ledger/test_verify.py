"""`segexp verify`: nothing is said of what is whole, and each kind of damage is named with its file."""

import json
import shutil

import pytest
import torch

from segexp.cli.main import main
from segexp.ledger.faults import Count, verified
from segexp.runs.lock import held
from segexp.weights.checkpoints import listed, sha256, write
from tests.ledger.fabricated import dump
from tests.runs.planned import read


def faults(folder):
    return [str(fault).removeprefix(f"{folder}/") for fault in verified(folder, Count())]


def append(path, text):
    path.write_text(path.read_text() + text)


def first(path):
    return path.read_text().splitlines()[0] + "\n"


def status(folder, **values):
    dump(folder / "status.json", read(folder, "status.json") | values)


def test_a_run_that_is_whole_has_no_fault_and_is_left_as_it_is(copied, capsys):
    assert main(["verify", str(copied.parents[1])]) == 0
    assert capsys.readouterr().out == f"1 run, 3 checkpoints, 0 sweeps: no fault in {copied.parents[1]}\n"


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def unsafe(folder):
    path = listed(folder / "checkpoints")[0]
    torch.save({"state_dict": torch.nn.Linear(1, 1)}, path)
    rewrite_record(path)


def rewrite_record(path):
    record = json.loads(path.with_suffix(".json").read_text())
    dump(path.with_suffix(".json"), record | {"sha256": sha256(path), "size": path.stat().st_size})


def stranger(folder):
    path = listed(folder / "checkpoints")[0]
    path.unlink()
    write(path, {"weights": torch.zeros(1)}, {"step": 8, "score": 0.5})


DAMAGE = {
    "a flipped bit": (lambda f: flip(listed(f / "checkpoints")[1]), "checkpoints/step-6.ckpt: its sha256 isn't the one that was written"),
    "a checkpoint cut short": (
        lambda f: listed(f / "checkpoints")[0].write_bytes(b"x"),
        "checkpoints/step-8.ckpt: it has 1 bytes, written were ",
    ),
    "code in a checkpoint": (unsafe, "checkpoints/step-8.ckpt: not a checkpoint that can be read safely"),
    "a checkpoint of something else": (stranger, "checkpoints/step-8.ckpt: it has no state_dict"),
    "no record": (lambda f: (f / "checkpoints" / "step-6.json").unlink(), "checkpoints/step-6.ckpt: it has no record beside it"),
    "no checkpoint": (lambda f: (f / "checkpoints" / "step-6.ckpt").unlink(), "checkpoints/step-6.json: its checkpoint is gone"),
    "LAST at nothing": (lambda f: (f / "checkpoints" / "LAST").write_text("step-99"), "checkpoints/LAST: it names step-99.ckpt"),
    "LAST with rubbish": (lambda f: (f / "checkpoints" / "LAST").write_text("x y"), "checkpoints/LAST: it names no checkpoint"),
    "no BEST": (lambda f: (f / "checkpoints" / "BEST").unlink(), "checkpoints/BEST: it is gone"),
    "no checkpoints": (lambda f: shutil.rmtree(f / "checkpoints"), "checkpoints: the run is done, and there is no checkpoint"),
    "no result": (lambda f: (f / "result.json").unlink(), "result.json: it is gone, and the run says done"),
    "a broken result": (lambda f: (f / "result.json").write_text("{"), "result.json: not valid JSON"),
    "another figure": (
        lambda f: dump(f / "result.json", read(f, "result.json") | {"val": {**read(f, "result.json")["val"], "miou": 0.99}}),
        "result.json: val/miou is 0.99, in metrics.jsonl ",
    ),
    "no figures": (lambda f: dump(f / "result.json", read(f, "result.json") | {"val": {}}), "is absent, in metrics.jsonl "),
    "a failure with a result": (lambda f: status(f, state="failed"), "status.json: it says failed, and there is a result"),
    "a failure without a cause": (lambda f: status(f, state="failed"), "status.json: it says failed, and not of what"),
    "running": (lambda f: status(f, state="running"), "status.json: it says running, and no process has the run"),
    "no state": (lambda f: status(f, state="finished"), "status.json: not a run's status"),
    "a broken status": (lambda f: (f / "status.json").write_text("{"), "status.json: not valid JSON"),
    "another's manifest": (
        lambda f: dump(f / "manifest.json", read(f, "manifest.json") | {"id": "0" * 12}),
        "manifest.json: its id is 000000000000, the folder's ",
    ),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "manifest.json: it is gone"),
    "another config": (
        lambda f: (f / "config.yaml").write_text((f / "config.yaml").read_text().replace("seed: 0", "seed: 1", 1)),
        "config.yaml: it describes the run ",
    ),
    "a broken config": (lambda f: (f / "config.yaml").write_text("a: [")," config.yaml: it can't be read: ".strip()),
    "a step twice": (lambda f: append(f / "metrics.jsonl", first(f / "metrics.jsonl")), "of step 0 is there twice"),
    "half a line": (lambda f: append(f / "metrics.jsonl", '{"step": 9, '), "is no record of a value"),
    "an image twice": (
        lambda f: append(f / "per_image.jsonl", first(f / "per_image.jsonl")),
        "per_image.jsonl: line 6: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage(copied, name):
    damage, told = DAMAGE[name]
    damage(copied)
    found = faults(copied)
    assert any(told in fault for fault in found), found
    assert len(found) <= 3


def test_the_command_ends_with_1_and_a_count(copied, capsys):
    (copied / "result.json").unlink()
    assert main(["verify", str(copied)]) == 1
    out, err = capsys.readouterr()
    assert out == f"{copied}/result.json: it is gone, and the run says done\n"
    assert f"1 fault in 1 run, 3 checkpoints, 0 sweeps; {copied}; fix: see the lines above" in err


def test_of_a_run_that_goes_on_only_what_cannot_be_on_its_way_is_a_fault(copied):
    status(copied, state="running")
    (copied / "checkpoints" / "step-6.json").unlink()
    (copied / "result.json").unlink()
    append(copied / "metrics.jsonl", '{"step": 9, ')
    with held(copied / "lock"):
        assert faults(copied) == []


def test_a_run_that_went_on_with_another_config_has_not_its_id(copied):
    config = copied / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0", "seed: 1", 1))
    dump(copied / "manifest.json", read(copied, "manifest.json") | {"changed": ["seed"]})
    assert faults(copied) == []


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ({}, None),
        ({"run": "0" * 12}, "job 1 is the run 000000000000, and its folder is "),
        ({"path": "../../gone-000000000000", "run": "0" * 12}, "job 1 is done, and its run's folder is gone"),
        ({"state": "pending"}, None),
    ],
)
def test_a_sweep_against_its_runs(copied, job, told):
    folder = copied.parent / "sweeps" / "seed-000000000000"
    folder.mkdir(parents=True)
    mine = {"run": copied.name[-12:], "path": f"../../{copied.name}", "state": "done"}
    dump(folder / "sweep.json", {"jobs": [mine | job]})
    for place in (folder, copied.parent, copied.parents[1]):
        found = faults(place)
        assert len(found) == (told is not None)
        assert told is None or told in found[0]


def test_a_sweep_that_says_done_of_a_run_that_is_not(copied):
    folder = copied.parent / "sweeps" / "seed-000000000000"
    folder.mkdir(parents=True)
    dump(folder / "sweep.json", {"jobs": [{"run": copied.name[-12:], "path": f"../../{copied.name}", "state": "done"}]})
    status(copied, state="preempted")
    (copied / "result.json").unlink()
    assert faults(folder) == [f"sweep.json: job 1 is done, and its run says preempted: ../../{copied.name}"]
    (folder / "sweep.json").write_text("[]")
    assert faults(folder) == ["sweep.json: it isn't the list of a sweep's jobs"]
