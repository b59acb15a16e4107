"""The weights that a training starts from: of a run or a file, whole or without the head; and what the manifest says of it."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from segexp.build import build
from segexp.config import compose
from segexp.errors import ConfigError, StoppedError, WeightsError
from segexp.functional.tensors import load_plain
from segexp.weights.checkpoints import sha256
from segexp.weights.load import read_state
from tests.runs.planned import SMALL, Planned, folder_of, hurry, read, run, signals

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
    with pytest.raises(StoppedError):
        run(tmp_path, plan={("train", 1): signals()})
    folder = folder_of(tmp_path)
    (folder / "checkpoints" / "step-2.ckpt").write_bytes(b"")
    with pytest.raises(WeightsError, match="the run can't be started from: none of its checkpoints is valid: it has 0 bytes, "):
        first(f"weights.file=run:{folder}")
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(WeightsError, match=r"the run can't be started from: it has no checkpoint; .*; fix: train it first"):
        first(f"weights.file=run:{folder}")
