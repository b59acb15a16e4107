"""The weights that a training starts from: of a run or a file, whole or without the head; and what the manifest says of it."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from segexp.build import build, trainer
from segexp.callbacks.evaluation import RunInfo
from segexp.config import compose
from segexp.errors import ConfigError, StoppedError, WeightsError
from segexp.functional.tensors import load_plain
from segexp.weights.checkpoints import sha256
from segexp.weights.load import read_state
from tests.runs.planned import SMALL, Planned, fails, folder_of, hurry, read, run, signals

OTHER = "data.classes=[sky,road,car]"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    hurry(monkeypatch)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """The folder of a run to start from."""
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        return run(tmp_path_factory.mktemp("parent"), "trainer.max_epochs=1").directory.path


def first(*overrides):
    """The weights that a training would start from, and where they come from."""
    experiment = build(compose("train", [*SMALL, "seed=1", *overrides]))
    return experiment.task.model.state_dict(), experiment.parent


def same(state, other, prefix=""):
    return all(torch.equal(value, other[name]) for name, value in state.items() if name.startswith(prefix))


def test_a_training_starts_from_the_weights_of_a_run_and_its_manifest_says_so(parent):
    outputs, checkpoint = parent.parents[1], parent / "checkpoints" / "step-4.ckpt"
    before, source = [], f"weights.file=run:{parent.name[-12:]}"
    plan = {
        ("train", 0): lambda _, module: before.append({name: value.clone() for name, value in module.model.state_dict().items()}),
        ("train", 1): signals(),
    }
    with pytest.raises(StoppedError):
        run(outputs, "name=child", "seed=1", source, plan=plan)
    assert same(before[0], read_state(checkpoint))
    child = folder_of_child(outputs)
    wanted = {"source": f"run:{parent.name[-12:]}", "file": str(checkpoint), "sha256": sha256(checkpoint), "without": None}
    assert read(child, "manifest.json")["parent"] == wanted
    shutil.move(parent, parent.with_suffix(".away"))  # to go on it isn't needed any more
    try:
        run(outputs, "name=child", "seed=1", source)
    finally:
        shutil.move(parent.with_suffix(".away"), parent)
    assert Planned.steps == list(range(2, 8))
    assert read(child, "manifest.json")["parent"] == wanted


def folder_of_child(outputs):
    (folder,) = (outputs / "child").iterdir()
    return folder


@pytest.mark.parametrize("kind", ["checkpoint", "run by directory", "safetensors", "state dict"])
def test_it_starts_from_a_file(parent, tmp_path, kind):
    checkpoint = parent / "checkpoints" / "step-4.ckpt"
    state = read_state(checkpoint)
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    source = {
        "checkpoint": checkpoint,
        "run by directory": f"run:{parent}",
        "safetensors": tmp_path / "a.safetensors",
        "state dict": tmp_path / "a.pth",
    }[kind]
    found, said = first(f"weights.file={source}")
    assert same(found, state)
    assert said["source"] == str(source)
    assert said["sha256"] == sha256(checkpoint if "run" in kind else source)


def test_without_a_file_nothing_is_said(parent):
    assert first()[1] is None


def test_other_classes_take_all_but_the_head(parent):
    source = f"weights.file={parent}/checkpoints/step-4.ckpt"
    trained = load_plain(parent / "checkpoints" / "step-4.ckpt")["state_dict"]
    trained = {name.removeprefix("model."): value for name, value in trained.items()}
    fresh, _ = first(OTHER)
    found, said = first(OTHER, source, "weights.skip_head=true")
    assert same(found, trained, "backbone.")
    assert same(found, fresh, "head.")
    assert found["head.classify.weight"].shape[0] == 3
    assert said["without"] == "head."


def test_weights_that_differ_in_the_head_alone_name_the_key_that_leaves_it_out(parent):
    with pytest.raises(WeightsError) as caught:
        first(OTHER, f"weights.file={parent}/checkpoints/step-4.ckpt")
    assert caught.value.what == "the weights don't fit the model: 2 of another shape (first head.classify.bias)"
    assert caught.value.fix.endswith("to train from these weights with another head or other classes: weights.skip_head=true")


def test_weights_that_differ_elsewhere_do_not(parent, tmp_path):
    state = read_state(parent / "checkpoints" / "step-4.ckpt")
    torch.save(state | {"backbone.net.0.weight": torch.zeros(2, 3, 3, 3)}, tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match="1 of another shape") as caught:
        first(f"weights.file={tmp_path}/a.ckpt")
    assert caught.value.fix == "drop the overrides that change the model"


def test_what_there_is_not_is_said(parent, tmp_path):
    outputs = f"paths.outputs={parent.parents[1]}"
    with pytest.raises(ConfigError, match=r"there is no run 0123456789ab; .* such as .*; fix: give a run's directory, its id"):
        first("weights.file=run:0123456789ab", outputs)
    with pytest.raises(WeightsError, match=f"the file is missing; {tmp_path}/a.ckpt; fix: "):
        first(f"weights.file={tmp_path}/a.ckpt")
    folder = shutil.copytree(parent, tmp_path / "default" / parent.name)
    for path in (folder / "checkpoints").glob("*.ckpt"):
        path.write_bytes(b"")
    with pytest.raises(WeightsError, match="the run can't be started from: none of its checkpoints is valid: it has 0 bytes, "):
        first(f"weights.file=run:{folder}")
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(WeightsError, match=r"the run can't be started from: it has no checkpoint; .*; fix: train it first"):
        first(f"weights.file=run:{folder}")


STATES = {  # of a run that isn't done -> what brings it there
    "preempted": signals(),
    "failed": fails(RuntimeError("boom")),
}


@pytest.mark.parametrize("state", STATES)
def test_the_weights_of_a_run_that_is_not_done_are_refused(tmp_path, state):
    with pytest.raises((StoppedError, RuntimeError)):
        run(tmp_path, plan={("train", 5): STATES[state]})
    folder = folder_of(tmp_path)
    with pytest.raises(WeightsError) as caught:
        first(f"weights.file=run:{folder}")
    assert caught.value.what == f"the run is {state}: its last weights are still to come"
    assert caught.value.where == str(folder)
    assert caught.value.fix == f"finish it first, or name one of its checkpoints: {folder}/checkpoints/step-<n>.ckpt"
    first(f"weights.file={folder}/checkpoints/step-4.ckpt")  # as it says


def test_weights_that_changed_before_the_first_checkpoint_are_refused(parent, tmp_path):
    file = tmp_path / "first.ckpt"
    shutil.copy(parent / "checkpoints" / "step-4.ckpt", file)
    given = (f"weights.file={file}", "seed=1")
    with pytest.raises(RuntimeError, match="boom"):
        run(tmp_path, *given, plan={("train", 1): fails(RuntimeError("boom"))})
    folder = folder_of(tmp_path)
    then = read(folder, "manifest.json")["parent"]
    shutil.copy(parent / "checkpoints" / "step-3.ckpt", file)
    with pytest.raises(WeightsError) as caught:
        run(tmp_path, *given, "run.max_attempts=3")
    assert caught.value.what == "the weights that the run began from have changed since"
    assert caught.value.where == str(file)
    assert Planned.steps == []
    assert read(folder, "manifest.json")["parent"] == then
    shutil.copy(parent / "checkpoints" / "step-4.ckpt", file)
    run(tmp_path, *given, "run.max_attempts=3")
    assert Planned.steps == list(range(8))


# ------------------------------------------------------------------ the trainer


def trained(folder, *overrides, pieces=1, training=True):
    return trainer(compose("train", [*SMALL, *overrides]), RunInfo(folder, None), training=training, pieces=pieces)


@pytest.mark.parametrize(("limit", "interval", "wanted"), [("3", "2", (6, 4)), ("1", "1", (2, 2)), ("1.0", "0.5", (1.0, 0.5))])
def test_whole_numbers_of_batches_are_counted_in_pieces(tmp_path, limit, interval, wanted):
    given = [f"trainer.limit_train_batches={limit}", f"+trainer.val_check_interval={interval}", "trainer.accumulate_grad_batches=3"]
    made = trained(tmp_path, *given, pieces=2)
    assert (made.limit_train_batches, made.val_check_interval) == wanted
    assert made.accumulate_grad_batches == 6
    plain = trained(tmp_path, *given)
    assert (plain.limit_train_batches, plain.val_check_interval) == (float(limit), float(interval))
    assert plain.accumulate_grad_batches == 3


def test_a_training_without_checkpoints_is_refused_and_an_evaluation_needs_none(tmp_path):
    with pytest.raises(ConfigError) as caught:
        trained(tmp_path, "callbacks.checkpoint=null")
    assert caught.value.what == "a run without checkpoints can't be stopped or go on"
    assert caught.value.where == "callbacks"
    assert caught.value.fix.startswith("leave callbacks.checkpoint as it is; ")
    assert trained(tmp_path, "callbacks.checkpoint=null", training=False)
