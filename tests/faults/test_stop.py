"""Rows 44-54 of the fault table: a run that is killed, stopped, or can't save goes on as if nothing had been."""

import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch

from segexp.weights.checkpoints import newest, pointed, record_of
from tests.e2e.test_kills import WRITE, blow
from tests.faults.disks import broken_disk, full_disk, no_right, size_limit
from tests.faults.harness import CODES, command, environment, expect, snapshot, untouched
from tests.runs.planned import SMALL, Planned, copies_to, ending, fails, folder_of, planned, read, signals
from tests.runs.test_start import bit_flipped, emptied, truncated
from tests.soak.trial import Blow, ended, struck
from tests.soak.trial import ending as ended_in


def train(outputs, *overrides, plan=None):
    """The small run as a command."""
    with planned(plan or {}):
        return command("train", *SMALL, f"paths.outputs={outputs}", *overrides)


# ------------------------------------------------------------------------------------------------ 44: killed


@pytest.mark.slow
def test_44_killed_at_several_instants(bench):
    """`python -m tests.soak kills saves` has hundreds, at random ones."""
    whole = bench.whole()
    blows = [
        blow(WRITE, 60),  # within the first checkpoint
        blow("segexp.weights.checkpoints:write_json", 1),  # a state without its record
        blow("segexp.weights.checkpoints:point", 2, "'last'"),
        Blow(0.6 * whole["seconds"]),
    ]
    trial = bench.trial("killed", "callbacks.checkpoint.every_n_train_steps=2")
    row = struck(trial, blows, whole["ending"])
    assert row["problems"] == []
    assert [bool(death["saving"]) for death in row["deaths"][:2]] == [True, True]


# ------------------------------------------------------------------------------------------------ 45, 46: what can't be saved


NO_SAVE = {
    "45 EFBIG": (size_limit, "File too large"),
    "45 ENOSPC": (full_disk, "No space left on device"),
    "45 EIO": (broken_disk, "Input/output error"),
    "46 no right": (no_right, "Permission denied"),
}


@pytest.mark.parametrize("case", NO_SAVE)
def test_45_46_a_checkpoint_that_cannot_be_written(whole, quick, case, monkeypatch):
    fault, text = NO_SAVE[case]
    place = Path(tempfile.mkdtemp())  # others than root may enter it, unlike pytest's
    place.chmod(0o755)
    outputs = shutil.copytree(whole.left["between two checkpoints"], place / "outputs")
    folder = folder_of(outputs) / "checkpoints"
    monkeypatch.setenv("TMPDIR", "/dev/shm" if Path("/dev/shm").is_dir() else str(place))  # another file system makes no difference
    before = snapshot(folder)
    try:
        broken = []

        def begin(trainer, module):
            if not broken:
                broken.append(fault(folder))
                broken[0].__enter__()

        try:
            said = train(outputs, plan={("train", 5): begin})
        finally:
            if broken:
                broken[0].__exit__(None, None, None)
        expect(said, "checkpoint", f"it can't be written: {text}", str(folder / "step-6.ckpt"), "make room or mend the folder")
        assert snapshot(folder) == before  # the previous ones as they were, nothing beside them
        assert read(folder.parent, "status.json")["state"] == "failed"
        assert train(outputs).code == 0
        assert ending(folder.parent) == whole.ending
    finally:
        shutil.rmtree(place)


def test_45_a_disk_that_is_full_while_the_log_is_written(killed, whole, quick):
    outputs, limits = killed(), resource.getrlimit(resource.RLIMIT_FSIZE)
    folder = folder_of(outputs)

    def full(trainer, module):
        resource.setrlimit(resource.RLIMIT_FSIZE, ((folder / "metrics.jsonl").stat().st_size, limits[1]))

    try:
        with untouched(folder / "checkpoints"):
            said = train(outputs, plan={("train", 5): full})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    expect(said, "failed", "the disk: File too large", "make room or mend it; the same command goes on from here")
    assert train(outputs).code == 0
    assert ending(folder) == whole.ending


# ------------------------------------------------------------------------------------------------ 47-49: going on


def foreign(path):
    torch.save({"model": {}}, path)


DAMAGE = {
    "truncated": (truncated, "bytes, written were"),
    "a bit flipped": (bit_flipped, "its sha256 isn't the one that was written"),
    "emptied": (emptied, "it has 0 bytes"),
    "foreign": (foreign, "bytes, written were"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_47_a_broken_checkpoint(killed, whole, quick, case):
    damage, text = DAMAGE[case]
    outputs = killed()
    folder = folder_of(outputs)
    damage(folder / "checkpoints" / "step-4.ckpt")
    said = train(outputs)
    assert said.code == 0, said.err
    (warning,) = (line for line in said.out.splitlines() if line.startswith("warning"))
    assert warning.startswith("warning: step-4.ckpt is left out: ")
    assert text in warning
    assert warning.endswith("; going back to step-3")
    assert Planned.steps == [3, 4, 5, 6, 7]
    assert ending(folder) == whole.ending


def test_47_where_every_checkpoint_is_broken(killed, whole, quick):
    outputs = killed()
    for path in (folder_of(outputs) / "checkpoints").glob("*.ckpt"):
        emptied(path)
    with untouched(outputs):
        said = train(outputs)
    expect(said, "weights", "none of the run's checkpoints is valid; step-4.ckpt: it has 0 bytes", "resume.mode=never")
    assert Planned.steps == []
    assert train(outputs, "resume.mode=never").code == 0
    assert Planned.steps == list(range(8))
    assert ending(folder_of(outputs)) == whole.ending


def test_48_must_and_auto(killed, tmp_path, quick):
    nothing = tmp_path / "nothing"
    expect(
        train(nothing, "resume.mode=must"), "weights", "there is no checkpoint to go on from: the run has never begun", "resume.mode=auto"
    )
    assert not list(nothing.glob("*/*/status.json"))
    outputs = killed()
    said = train(outputs, plan={("train", 5): fails(RuntimeError("once"))})
    expect(said, "failed", "RuntimeError: once")
    assert ", going on from step-4: " in said.out
    said = train(outputs, "resume.mode=must")
    assert (said.code, ", going on from step-4: " in said.out) == (0, True)


CHANGED = {
    "learning rate": ("optimizer.lr=0.5", "optimizer.lr 0.003 -> 0.5", True),
    "loss": ("loss.label_smoothing=0.1", "loss.label_smoothing 0.0 -> 0.1", True),
    "crop": ("augmentation.crop=[16,16]", "augmentation.crop", True),
    "model": ("head.dropout=0.5", "head.dropout 0.2 -> 0.5", True),
    "batch": ("data.loader.batch_size=4", "data.loader.batch_size 2 -> 4", False),
}


@pytest.mark.parametrize("case", CHANGED)
def test_49_going_on_with_another_config(killed, quick, case):
    typed, text, may = CHANGED[case]
    key, outputs = typed.partition("=")[0], killed()
    run = folder_of(outputs)
    with untouched(outputs):
        said = train(outputs, typed, f"resume.run={run.name}")
    expect(said, "config", "the run's config differs: ", text, f"resume.override=[{key}]")
    assert Planned.steps == []
    said = train(outputs, typed, f"resume.run={run.name}", f"resume.override=[{key}]")
    if not may:
        expect(said, "config", "a run can't go on with other batches", "weights.file=run:")
        return
    assert said.code == 0, said.err
    assert Planned.steps == [4, 5, 6, 7]
    manifest = read(run, "manifest.json")
    assert (manifest["changed"], text in manifest["resumed"][0]["changed"]) == ([key], True)


# ------------------------------------------------------------------------------------------------ 50, 51: what is kept


def test_50_the_log_after_three_kills_is_that_of_the_undisturbed_run(killed, whole, tmp_path, quick):
    outputs = killed("before the first checkpoint")
    for number, at in enumerate([2, 5, 7]):
        said = train(outputs, plan={("train", at): copies_to(tmp_path / f"left-{number}")})
        assert said.code == 0, said.err
        outputs = tmp_path / f"left-{number}"
    assert train(outputs).code == 0
    folder = folder_of(outputs)
    assert (folder / "metrics.jsonl").read_bytes() == (whole.folder / "metrics.jsonl").read_bytes()
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines() if '"train/loss"' in line]
    assert steps == list(range(8))


def test_51_the_latest_state_is_kept_though_the_figure_gets_worse(tmp_path, quick):
    def spoil(trainer, module):
        with torch.no_grad():
            list(module.model.parameters())[-1].add_(torch.linspace(0, 50, 8))

    said = train(tmp_path, "monitor=val/loss", "callbacks.checkpoint.keep=2", plan={("train", 4): spoil})
    assert said.code == 0, said.err
    checkpoints = folder_of(tmp_path) / "checkpoints"
    last, best = pointed(checkpoints, "last"), pointed(checkpoints, "best")
    assert (last.stem, best.stem) == ("step-8", "step-4")
    assert record_of(last)["score"] > record_of(best)["score"]


# ------------------------------------------------------------------------------------------------ 52, 53: signals


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT"])
def test_52_a_signal(whole, tmp_path, quick, name):
    said = train(tmp_path, plan={("train", 5): signals(signal.Signals[name])})
    assert said.code == 75
    last = said.err.splitlines()[-1]
    assert last.startswith(f"segexp: error[stopped]: stopped by {name}; step 6, ")
    folder = folder_of(tmp_path)
    assert (record_of(newest(folder / "checkpoints")[0])["step"], Planned.steps[-1]) == (6, 5)  # the step is ended, none is begun
    assert read(folder, "status.json")["state"] == "preempted"
    assert train(tmp_path).code == 0
    assert Planned.steps == [6, 7]
    assert ending(folder) == whole.ending


def test_52_workers_pay_no_heed(whole, tmp_path, quick):
    def to_all(trainer, module):
        if children := multiprocessing.active_children():
            asked.append(len(children))
            for pid in (*(child.pid for child in children), os.getpid()):
                os.kill(pid, signal.SIGTERM)

    asked = []
    said = train(tmp_path, "data.loader.workers=2", plan={("train", 5): to_all})
    assert (said.code, len(asked), asked[0] >= 2) == (75, 1, True)
    assert record_of(newest(folder_of(tmp_path) / "checkpoints")[0])["step"] == 6
    assert train(tmp_path).code == 0
    assert ending(folder_of(tmp_path)) == whole.ending


def test_52_a_second_signal_leaves_at_once(bench):
    trial = bench.trial("twice", "callbacks.checkpoint.every_n_train_steps=2")
    trap = {"at": ["segexp.functional.tensors:load_plain"], "call": 1, "holding": "step-4.ckpt.tmp", "until": str(trial.folder / "never")}
    child = trial.start(trap=trap)
    _until(lambda: list(trial.run.checkpoints.glob("step-4.ckpt.tmp.*")), child)  # within the second save
    child.kill(signal.SIGTERM)
    _until(lambda: "SIGTERM: stopping after this step" in trial.text(), child)
    assert ended(child, 0.3) is None
    child.kill(signal.SIGTERM)
    assert ended(child, 10) == CODES["stopped"]
    found, faults = newest(trial.run.checkpoints)
    assert (record_of(found)["step"], faults, trial.step()) == (2, [], 4)
    trial.finish()
    assert ended_in(trial.run) == bench.whole()["ending"]


def _until(condition, child):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        assert child.poll() is None
        time.sleep(0.01)


@pytest.mark.slow
def test_53_a_sweep_that_is_interrupted(tmp_path):
    """Its jobs take no time; what a run does with the signal is row 52."""
    from tests.sweeps.conftest import command as stubbed

    given = ["--allow=tests", "train", "-m", "loss._target_=tests.sweeps.losses.Faulty", "+loss.fault=stop", "launcher.jobs=2"]
    given += ["seed=range(0,5)", f"paths.outputs={tmp_path / 'outputs'}"]
    start = {"env": environment(), "cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    driver = subprocess.Popen(stubbed(*given, stub=True), **start)
    end = time.monotonic() + 60
    while len(list(tmp_path.glob("outputs/default/*/process.json"))) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=30)
    assert driver.returncode == 75
    assert err.splitlines()[-1].startswith("segexp: error[stopped]: stopped by SIGINT: 5 of 5 jobs are not done; ")
    (folder,) = tmp_path.glob("outputs/default/sweeps/*")
    assert [row["state"] for row in json.loads((folder / "sweep.json").read_text())["jobs"]] == ["pending"] * 5
    (tmp_path / "go-on").touch()
    done = subprocess.run(stubbed(*given, stub=True), **start, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    states = [json.loads(path.read_text())["state"] for path in tmp_path.glob("outputs/default/*/status.json")]
    assert states == ["done"] * 5
    logs = [log.read_text().count("starts") for log in (folder / "jobs").glob("*.txt") if log.stem != "server"]
    assert sorted(logs) == [1, 1, 1, 2, 2]


# ------------------------------------------------------------------------------------------------ 54: left over


def test_54_only_what_a_dead_process_was_writing_is_removed(killed, whole, quick):
    outputs = killed()
    folder = folder_of(outputs)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    alive = subprocess.Popen(["sleep", "60"])
    try:
        own = [folder / f"status.json.tmp.{gone.pid}", folder / "checkpoints" / f"step-5.ckpt.tmp.{gone.pid}"]
        others = [folder / f"status.json.tmp.{alive.pid}", folder / "notes.tmp", outputs / "default" / f"x.tmp.{gone.pid}"]
        for path in own + others:
            path.write_text("half")
        assert train(outputs).code == 0
        assert not any(path.exists() for path in own)
        assert all(path.read_text() == "half" for path in others)
    finally:
        alive.kill()
        alive.wait()
    assert ending(folder) == whole.ending
