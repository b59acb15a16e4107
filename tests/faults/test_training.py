"""Rows 35 and 38-43 of the fault table: what goes wrong while a run trains (39-41, and 38 in a sweep: test_sweep.py)."""

import math

import pytest
import torch

from segexp.functional.tensors import load_plain
from segexp.weights.checkpoints import listed
from tests.faults.harness import command, expect, untouched
from tests.runs.planned import SMALL, Greedy, Planned, ending, fails, folder_of, planned, poisons, read, weights
from tests.runs.test_memory import GREEDY


def bad_gradients(times=1):
    """An action: a gradient of the step isn't finite though the loss is."""

    def spoil(trainer, module):
        parameter = next(module.model.parameters())
        handle = parameter.register_hook(lambda gradient: [handle.remove(), gradient * math.inf][1])

    return spoil


def bad_loss(trainer, module):
    Planned.batch.images.fill_(float("inf"))


def train(outputs, *overrides, plan=None):
    """The small run as a command."""
    with planned(plan or {}):
        return command("train", *SMALL, f"paths.outputs={outputs}", *overrides)


NONFINITE = {  # case -> what is done at which step, and the step that tells
    "a loss that is NaN": (poisons(), 5, 5),
    "a loss that is infinite": (bad_loss, 5, 5),
    "a gradient that isn't finite": (bad_gradients(), 4, 5),
}


@pytest.mark.parametrize("case", NONFINITE)
def test_35_numbers_that_are_not_finite(killed, quick, case):
    action, step, told = NONFINITE[case]
    outputs = killed()
    folder = folder_of(outputs)
    with untouched(folder / "checkpoints"):
        said = train(outputs, plan={("train", step): action})
    ids = Planned.batch.ids
    expect(
        said, "nonfinite", f"at step {told}, epoch 1, learning rate ", "the loss is ", "(ce ", f"samples {', '.join(ids)}", "optimizer.lr="
    )
    dump = load_plain(folder / f"nonfinite-step-{told}.pt")
    assert (tuple(dump["ids"]), tuple(dump["images"].shape)) == (ids, (2, 3, 32, 48))
    for path in listed(folder / "checkpoints"):
        assert all(value.isfinite().all() for value in load_plain(path)["state_dict"].values() if value.is_floating_point())
    status = read(folder, "status.json")
    assert (status["state"], status["step"], status["error"]["code"]) == ("failed", 4, "nonfinite")


def test_35_weights_that_are_not_finite_are_never_saved(killed, quick):
    outputs = killed()
    with untouched(folder_of(outputs) / "checkpoints"):
        said = train(outputs, plan={("train", 5): bad_gradients()})  # a checkpoint is due after it
    expect(said, "nonfinite", "isn't finite after step 6; nothing is saved")


@pytest.mark.parametrize(("times", "code"), [(1, 0), (2, 3)])
def test_35_steps_may_be_left_out_up_to_a_limit(tmp_path, quick, times, code):
    action = poisons(times)
    said = train(tmp_path, "trainer.skip_nonfinite=1", plan={("train", 2): action, ("train", 3): action})
    assert said.code == code, said.err
    if code:
        expect(said, "nonfinite", "at step ")
    else:
        assert weights(folder_of(tmp_path)).isfinite().all()
        assert "left out (1 of at most 1)" in (folder_of(tmp_path) / "log.txt").read_text()


def test_38_memory_that_runs_out(neighbour, quick):
    Greedy.most = {"train": 3}
    try:
        with untouched(neighbour, new=True):
            said = train(neighbour, *GREEDY, "seed=1")
    finally:
        Greedy.most = {}
    expect(said, "memory", "step 0 with a batch of 4 x 32x48", "data.loader.batch_size=2", "augmentation.crop", "trainer.on_oom=halve")


def test_41_an_exit_within_a_run(killed, quick):
    outputs = killed()
    said = train(outputs, plan={("train", 6): fails(SystemExit(0))})
    expect(said, "failed", "sys.exit(0) within the run")
    assert read(folder_of(outputs), "status.json")["state"] == "failed"
    assert not (folder_of(outputs) / "result.json").exists()


TRACKERS = {
    "FailsToStart": "ConnectionError: no route to the tracker",
    "FailsToLog": "OSError: [Errno 28] No space left on device",
    "FailsToEnd": "TimeoutError: the upload takes too long",
}


@pytest.mark.parametrize("tracker", TRACKERS)
def test_42_a_tracker_that_fails(whole, tmp_path, quick, tracker):
    said = train(tmp_path, f"+logger.tracker={{_target_: tests.callbacks.trackers.{tracker}, _partial_: true}}")
    assert (said.code, said.err) == (0, "")
    warnings = [text for text in (said.out + said.err).splitlines() if text.startswith("warning")]
    assert len(warnings) == 1, warnings
    assert f"{tracker} failed and is left out" in warnings[0]
    assert TRACKERS[tracker] in (folder_of(tmp_path) / "log.txt").read_text()
    assert ending(folder_of(tmp_path)) == whole.ending


SAME = {  # `python -m tests.soak invariance` has eleven
    "workers": ["data.loader.workers=2"],
    "validation every second epoch": ["trainer.check_val_every_n_epoch=2"],
    "validation within epochs": ["+trainer.val_check_interval=2"],
    "tracker": ["logger=tensorboard"],
    "checkpoints": ["callbacks.checkpoint.every_n_train_steps=1", "callbacks.checkpoint.keep=5"],
    "progress": ["callbacks.progress.every=0.1", "callbacks.panels.count=1", "trainer.log_every_n_steps=3"],
}


@pytest.mark.parametrize("case", SAME)
def test_43_what_says_only_how_a_run_goes_does_not_change_its_weights(whole, tmp_path, quick, case):
    said = train(tmp_path, *SAME[case])
    assert said.code == 0, said.err
    assert weights(folder_of(tmp_path)).equal(torch.tensor(whole.ending["weights"], dtype=torch.float64))
