"""Where memory runs out: the error says in what, and with `trainer.on_oom=halve` the same steps are taken in pieces."""

import json
import weakref
from types import SimpleNamespace

import pytest
import torch

from segexp.augmentation.scale_crop import ScaleCrop
from segexp.cli.main import main
from segexp.data.shapes import Shapes
from segexp.datamodule import DataModule, LoaderOptions
from segexp.errors import OutOfMemoryError, StoppedError
from segexp.runs.memory import explained
from tests.runs.planned import SMALL, Greedy, Planned, folder_of, planned, read, run, signals, weights

pytestmark = pytest.mark.usefixtures("quick")
GREEDY = [
    *("loss._target_=tests.runs.planned.Greedy", "backbone.name=plain", "head.dropout=0.0", "optimizer=sgd", "optimizer.lr=0.1"),
    *("data.train=16", "data.loader.batch_size=4"),
]
HALVE = "trainer.on_oom=halve"


@pytest.fixture(autouse=True)
def _memory(monkeypatch):
    monkeypatch.setattr(Greedy, "most", {})


@pytest.fixture(scope="module")
def plenty(tmp_path_factory):
    """The folder of a run for which there was memory enough."""
    return run(tmp_path_factory.mktemp("plenty"), *GREEDY).directory.path


def manifest(outputs):
    return read(folder_of(outputs), "manifest.json")


def same(folder, other):
    """Sums of float32 in another order."""
    return torch.allclose(weights(folder), weights(other), rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------ what is said


def test_the_error_names_the_batch_and_the_keys_that_make_it_smaller(tmp_path, capsys):
    Greedy.most = {"train": 3}
    with planned({}):
        assert main(["train", *SMALL, *GREEDY, f"paths.outputs={tmp_path}"]) == 1
    assert capsys.readouterr().err == (
        "segexp: error[memory]: the memory is too small for step 0 with a batch of 4 x 32x48; data.loader.batch_size=4, "
        "augmentation.crop; fix: trainer.on_oom=halve, or data.loader.batch_size=2 trainer.accumulate_grad_batches=2 "
        "(the same effective batch), or smaller crops (augmentation.crop=[height,width]), or a smaller model\n"
    )
    status = read(folder_of(tmp_path), "status.json")
    assert (status["state"], status["error"]["code"], Planned.images) == ("failed", "memory", [4])


CONFIG = SimpleNamespace(
    data=SimpleNamespace(loader=SimpleNamespace(batch_size=4, eval_batch_size=2)),
    trainer=SimpleNamespace(on_oom="error", accumulate_grad_batches=1),
)
TASK = SimpleNamespace(evaluates=False, shape=(), global_step=7)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_whatever_says_that_memory_ran_out_is_one_error(error):
    with (
        pytest.raises(OutOfMemoryError, match="the memory is too small for step 7 with a batch of 2; ") as caught,
        explained(CONFIG, TASK, pieces=2),
    ):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(("world", "said"), [(1, True), (2, False)])
def test_what_several_ranks_cannot_do_is_not_advised(monkeypatch, world, said):
    monkeypatch.setattr("segexp.functional.ranks.world", lambda: world)
    with pytest.raises(OutOfMemoryError) as caught, explained(CONFIG, TASK):
        raise MemoryError
    assert (HALVE in caught.value.fix) == said


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), KeyboardInterrupt(), ValueError("out of memory")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as caught, explained(CONFIG, TASK):
        raise error
    assert caught.value is error


def test_an_evaluation_that_is_too_large_names_its_own_key_and_the_run_goes_on_with_it(tmp_path, plenty):
    Greedy.most = {"val": 1}
    with pytest.raises(OutOfMemoryError) as caught:
        run(tmp_path, *GREEDY, HALVE)
    assert caught.value.what == "the memory is too small for an evaluation with a batch of 2 x 32x48"
    assert caught.value.where == "data.loader.eval_batch_size=2, augmentation.scale"
    assert caught.value.fix.startswith("data.loader.eval_batch_size=1 (the same run goes on), or ")
    assert Planned.images == [4] * 4  # smaller pieces in training wouldn't help
    assert "pieces" not in manifest(tmp_path)
    run(tmp_path, *GREEDY, HALVE, "data.loader.eval_batch_size=1")
    assert Planned.steps == [3, 4, 5, 6, 7]
    assert torch.equal(weights(folder_of(tmp_path)), weights(plenty))


def test_a_test_that_is_too_large_names_it_too(tmp_path):
    Greedy.most = {"test": 1}
    with pytest.raises(OutOfMemoryError, match=r"too small for an evaluation with a batch of 2 x 32x48; data\.loader\.eval_batch_size=2"):
        run(tmp_path, *GREEDY)


# ------------------------------------------------------------------ going on in pieces


def test_batches_in_pieces_give_the_weights_of_whole_ones_and_of_accumulated_ones(tmp_path, plenty, capsys):
    Greedy.most = {"train": 2}
    outcome = run(tmp_path / "halved", *GREEDY, HALVE)
    assert Planned.images == [4] + [2] * 16
    assert outcome.result["steps"] == 8
    text = "the memory is too small for step 0 with a batch of 4 x 32x48: going on from step 0 with batches in 2 pieces, accumulated"
    assert text in capsys.readouterr().out
    found = manifest(tmp_path / "halved")
    assert (found["pieces"], found["pieces_since"]) == (2, 0)
    assert same(outcome.directory.path, plenty)
    accumulated = run(tmp_path / "accumulated", *GREEDY, "data.loader.batch_size=2", "trainer.accumulate_grad_batches=2")
    assert torch.equal(weights(outcome.directory.path), weights(accumulated.directory.path))


def test_it_may_happen_on_the_way_and_a_later_resume_keeps_the_pieces(tmp_path, plenty):
    models, alive = [], []

    def look(trainer, module):
        alive.append([model() is not None for model in models])

    def less(trainer, module):
        models.append(weakref.ref(module.model))
        Greedy.most = {"train": 2}

    with pytest.raises(StoppedError):
        run(tmp_path, *GREEDY, HALVE, plan={("train", 4): look, ("train", 5): less, ("train", 6): signals()})
    assert alive == [[], [False], [False]]  # the model for which memory was too small isn't kept beside its successor
    assert Planned.images == [4] * 6 + [2] * 6
    assert Planned.steps == [0, 1, 2, 3, 4, 5, 4, 4, 5, 5, 6, 6]
    found = manifest(tmp_path)
    assert (found["pieces"], found["pieces_since"]) == (2, 4)
    Greedy.most = {}
    run(tmp_path, *GREEDY, HALVE)
    assert Planned.images == [2, 2]
    assert Planned.steps == [7, 7]
    assert manifest(tmp_path)["pieces"] == 2
    assert same(folder_of(tmp_path), plenty)
    lines = [json.loads(line) for line in (folder_of(tmp_path) / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["name"] == "train/loss"] == list(range(8))


def test_windows_of_several_batches_the_last_one_short(tmp_path):
    window = [*GREEDY, "data.train=12", "data.loader.batch_size=2", "trainer.accumulate_grad_batches=4"]
    whole = run(tmp_path / "whole", *window)
    Greedy.most = {"train": 1}
    halved = run(tmp_path / "halved", *window, HALVE)
    assert Planned.images == [2] + [1] * 24
    assert halved.result["steps"] == whole.result["steps"] == 4
    assert same(halved.directory.path, whole.directory.path)


def test_pieces_become_smaller_down_to_one_image_and_then_it_is_an_error(tmp_path):
    three = [*GREEDY, HALVE, "data.train=6", "data.loader.batch_size=3", "trainer.max_epochs=1"]
    Greedy.most = {"train": 1}
    outcome = run(tmp_path / "one", *three)
    assert Planned.images == [3, 1, 2] + [1] * 6
    assert outcome.result["steps"] == 2
    assert manifest(tmp_path / "one")["pieces"] == 3
    Greedy.most = {"train": 0}
    with pytest.raises(OutOfMemoryError) as caught:
        run(tmp_path / "none", *three)
    assert Planned.images == [3, 1, 1]
    assert caught.value.what == "the memory is too small for step 0 with a batch of 1 x 32x48"
    assert caught.value.fix == "smaller crops (augmentation.crop=[height,width]), or a smaller model"
    assert read(folder_of(tmp_path / "none"), "status.json")["error"]["code"] == "memory"


def evaluated(folder):
    """The steps after which there was a validation."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if line["name"] == "val/loss"]


def test_an_epoch_that_is_cut_to_so_many_batches_has_as_many_in_pieces(tmp_path):
    cut = [*GREEDY, "trainer.limit_train_batches=3", "+trainer.val_check_interval=2"]  # of 4 batches
    whole = run(tmp_path / "whole", *cut)
    assert Planned.images == [4] * 6
    Greedy.most = {"train": 2}
    halved = run(tmp_path / "halved", *cut, HALVE)
    assert Planned.images == [4] + [2] * 12
    assert halved.result["steps"] == whole.result["steps"] == 6
    assert evaluated(halved.directory.path) == evaluated(whole.directory.path)
    assert len(evaluated(whole.directory.path)) >= 2
    assert same(halved.directory.path, whole.directory.path)


@pytest.mark.parametrize("cut", ["trainer.limit_train_batches=0.75", "+trainer.val_check_interval=0.5"])
def test_an_epoch_that_is_cut_by_a_fraction_is_not_cut_into_pieces(tmp_path, cut):
    Greedy.most = {"train": 2}
    with pytest.raises(OutOfMemoryError) as caught:
        run(tmp_path, *GREEDY, HALVE, cut)
    assert caught.value.what == "the memory is too small for step 0 with a batch of 4 x 32x48"
    assert "data.loader.batch_size=2 trainer.accumulate_grad_batches=2" in caught.value.fix
    assert Planned.images == [4]
    assert "pieces" not in manifest(tmp_path)
    assert read(folder_of(tmp_path), "status.json")["error"]["code"] == "memory"


# ------------------------------------------------------------------ pieces of a loader


@pytest.mark.parametrize(
    ("size", "pieces", "accumulate", "workers"), [(3, 2, 1, 0), (3, 3, 2, 0), (5, 4, 2, 0), (5, 4, 2, 1), (2, 1, 3, 0)]
)
def test_pieces_hold_every_sample_once_and_the_counts_of_their_window(size, pieces, accumulate, workers):
    def batches(pieces):
        options, needs = LoaderOptions(batch_size=size, workers=workers), frozenset({"semantic"})
        module = DataModule(
            Shapes(height=16, width=16, train=5 * size + 1, val=1, test=1),
            ScaleCrop(),
            options,
            seed=0,
            needs=needs,
            truth=needs,
            count=lambda targets: {"pixels": float(sum((t.semantic != 255).sum() for t in targets))},
            pieces=pieces,
        )
        module.trainer = SimpleNamespace(accumulate_grad_batches=accumulate * pieces, world_size=1, global_rank=0)
        loader = module.train_dataloader()
        found = list(loader)
        assert len(loader) == len(found)
        return found

    whole, cut = batches(1), batches(pieces)
    assert len(whole) == 5
    assert len(cut) == 5 * pieces
    for number, batch in enumerate(whole):
        parts = cut[number * pieces : (number + 1) * pieces]
        assert [i for part in parts for i in part.ids] == list(batch.ids)
        assert torch.equal(torch.cat([part.images for part in parts]), batch.images)
        assert {part.counts["pixels"] for part in parts} == {batch.counts["pixels"]}
        assert max(len(part.ids) for part in parts) - min(len(part.ids) for part in parts) <= 1
