"""Order, counts and padding of batches; labels out of range."""

import multiprocessing
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Callback
from torchvision import tv_tensors

from segexp.augmentation.scale_crop import ScaleCrop
from segexp.build import build, trainer
from segexp.callbacks.evaluation import RunInfo
from segexp.config import compose
from segexp.data.shapes import Shapes
from segexp.datamodule import DataModule, EvaluationOrder, Item, LoaderOptions, TrainOrder, collate, to_float
from segexp.errors import ConfigError, DataError
from segexp.functional.orders import Draw
from segexp.samples import verify
from segexp.types import ClassInfo, DataSpec, Targets
from tests.test_task import SMALL

SPEC = DataSpec((ClassInfo("a"), ClassInfo("b", True)), frozenset({"semantic"}))


def indices(order):
    return [[draw.index for draw in window] for window in order]


def test_order_is_a_permutation_that_depends_on_seed_and_epoch_only():
    order = TrainOrder(10, 2, 1, seed=0)
    first = indices(order)
    assert sorted(i for window in first for i in window) == list(range(10))
    assert indices(order) == first
    order.set_epoch(1)
    assert indices(order) != first
    assert {draw.epoch for window in order for draw in window} == {1}
    assert indices(TrainOrder(10, 2, 1, seed=1)) != first


def test_ranks_share_each_global_batch():
    whole = indices(TrainOrder(12, 4, 1, seed=0))
    parts = [indices(TrainOrder(12, 2, 1, seed=0, rank=r, world=2)) for r in range(2)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


def test_windows_hold_one_optimizer_step_and_the_last_may_be_short():
    order = TrainOrder(21, 2, 4, seed=0)
    assert [len(window) for window in order] == [8, 8, 4]  # 10 micro-batches, one sample left over
    assert len(order) == 3


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("length", [1, 5, 9])
def test_evaluation_sees_every_sample_once(world, length):
    seen = [i for rank in range(world) for batch in indices(EvaluationOrder(length, 2, rank, world)) for i in batch]
    assert sorted(seen) == list(range(length))


def datamodule(**options):
    data = Shapes(height=32, width=48, train=6, val=3, test=2)
    module = DataModule(
        data,
        ScaleCrop(crop=[24, 32], jitter=[0.8, 1.2]),
        LoaderOptions(**({"batch_size": 2, "eval_batch_size": 2} | options)),
        seed=0,
        needs=frozenset({"semantic"}),
        truth=frozenset({"semantic"}),
        count=lambda targets: {"pixels": float(sum((t.semantic != 255).sum() for t in targets))},
    )
    module.trainer = SimpleNamespace(accumulate_grad_batches=1, world_size=1, global_rank=0)
    return module


def same(a, b):
    return torch.equal(a.images, b.images) and all(torch.equal(s.semantic, t.semantic) for s, t in zip(a.targets, b.targets, strict=True))


def test_workers_and_cache_change_nothing():
    plain = list(datamodule().train_dataloader())
    workers = list(datamodule(workers=2).train_dataloader())
    cached = datamodule(cache=True).train_dataloader()
    list(cached)  # fills the cache
    assert len(plain) == 3
    assert all(same(a, b) for a, b in zip(plain, workers, strict=True))
    assert all(same(a, b) for a, b in zip(plain, cached, strict=True))
    assert plain[0].ids == workers[0].ids


def test_each_micro_batch_knows_the_counts_of_its_window():
    module = datamodule()
    module.trainer.accumulate_grad_batches = 2
    batches = list(module.train_dataloader())
    pixels = [float(sum((t.semantic != 255).sum() for t in b.targets)) for b in batches]
    assert [b.counts["pixels"] for b in batches] == [pixels[0] + pixels[1]] * 2 + [pixels[2]]


def test_evaluation_gives_truth_at_original_size():
    batches = list(datamodule().val_dataloader())
    assert [len(b.ids) for b in batches] == [2, 1]
    assert batches[0].truth[0].semantic.shape == (32, 48)
    assert batches[0].ids == ("val/000000", "val/000001")


def test_collate_pads_at_the_right_and_bottom():
    items = [Item(torch.full((3, *size), 7, dtype=torch.uint8), Targets(), None, size, "x") for size in ((4, 6), (5, 3))]
    batch = collate(items)
    assert batch.images.shape == (2, 3, 5, 6)
    assert batch.sizes == ((4, 6), (5, 3))
    assert int(batch.images[0].sum()) == 7 * 3 * 24
    assert batch.truth == []
    assert to_float(batch.images)[0, 0, 0, 0] == pytest.approx(7 / 255)


def test_images_of_16_bit_and_a_batch_of_both_kinds():
    wide = torch.tensor([0, 1, 257, 40_000, 65_535], dtype=torch.int32).view(1, 1, 5)
    assert to_float(wide).flatten().tolist() == pytest.approx([v / 65_535 for v in wide.flatten().tolist()])
    narrow = torch.tensor([0, 1, 77, 254, 255], dtype=torch.uint8).view(1, 1, 5)
    images = collate([Item(image, Targets(), None, (1, 5), "x") for image in (narrow, wide)]).images
    assert images.dtype == torch.int32
    assert torch.equal(to_float(images)[0], to_float(narrow))
    assert torch.equal(to_float(images)[1], to_float(wide))


def test_a_sample_drawn_again_in_an_epoch_is_augmented_anew():
    samples = datamodule().samples("train", training=True)
    first, again, plain = (samples[draw].image for draw in (Draw(0, 2), Draw(0, 2, 1), Draw(0, 2, 0)))
    assert torch.equal(first, plain)
    assert not torch.equal(first, again)


def test_weights_say_how_often_samples_are_drawn():
    module = datamodule(batch_size=1)
    module.weights = lambda: torch.tensor([5.0, 1, 1, 1, 1, 1], dtype=torch.float64)
    ids = [batch.ids[0] for batch in module.train_dataloader()]
    assert len(ids) == 6
    assert ids.count("train/000000") == 3
    assert [batch.ids[0] for batch in module.train_dataloader()] == ids


def test_balanced_sampling_by_a_key(tmp_path, capsys):
    config = compose("train", [*SMALL, "data.sampling=balanced", f"paths.outputs={tmp_path}"])
    module = build(config).datamodule
    assert "counting the classes" not in capsys.readouterr().out, "nothing is read before the training begins"
    split = module.dataset.open("train")
    there = torch.stack([torch.bincount(split[i]["segment_labels"], minlength=8) > 0 for i in range(8)])
    expected = torch.where(there, there.double().mean(0).clamp(min=1e-9).rsqrt(), 1.0).amax(1)
    assert torch.allclose(module.weights(), expected)
    assert build(compose("train", SMALL)).datamodule.weights is None
    with pytest.raises(ConfigError, match=r"data\.sampling=even; fix: data\.sampling=uniform\|balanced"):
        build(compose("train", [*SMALL, "data.sampling=even"]))


def test_too_few_samples_for_a_batch():
    with pytest.raises(ConfigError, match=r"6 training samples don't fill a batch of 8 x 1 ranks; .*; fix: data.loader.batch_size=6"):
        datamodule(batch_size=8).train_dataloader()


def test_labels_out_of_range_name_sample_values_and_pixels():
    sample = {
        "image": tv_tensors.Image(torch.zeros(3, 2, 3, dtype=torch.uint8)),
        "semantic": torch.tensor([[0, 1, 255], [2, 2, 9]], dtype=torch.uint8),
        "meta": {"id": "train/7", "path": "somewhere/7.png"},
    }
    with pytest.raises(DataError) as caught:
        verify(sample, SPEC)
    assert caught.value.what == "labels [2, 9] in 3 pixels; allowed are 0..1 and 255 (ignored)"
    assert caught.value.where == "sample train/7, somewhere/7.png"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"label": torch.tensor(2)}, "label 2; allowed are 0..1; sample train/7"),
        ({"present": torch.zeros(3)}, r"`present` has the shape \(3,\); wanted is one number for each of 2 classes; sample train/7"),
    ],
)
def test_labels_of_whole_images_out_of_range(labels, message):
    with pytest.raises(DataError, match=message):
        verify({"meta": {"id": "train/7"}, **labels}, SPEC)
    verify({"meta": {"id": "train/7"}, "label": torch.tensor(SPEC.ignore_index), "present": torch.zeros(2)}, SPEC)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_sample_is_raised_whole_also_from_a_worker(workers):
    module = datamodule(workers=workers)
    shapes = module.dataset
    module.dataset = SimpleNamespace(spec=DataSpec(shapes.spec.classes[:2], shapes.spec.provides), open=shapes.open)
    with pytest.raises(DataError, match=r"segment_labels .*allowed are 0..1; sample train/0000"):
        list(module.train_dataloader())


class Interrupted(Exception):
    pass


class Interrupts(Callback):
    def on_validation_start(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise Interrupted


def test_an_interruption_ends_the_workers_of_all_loaders(tmp_path):
    """Lightning ends those of the loop alone in which it happens; the others would be waited for at the end of the process."""
    config = compose("train", [*SMALL, "trainer.max_epochs=2", "data.loader.workers=1"])
    experiment = build(config)
    lightning = trainer(config, RunInfo(tmp_path, config.monitor), training=True)
    lightning.callbacks.append(Interrupts())
    before = set(multiprocessing.active_children())  # of other tests
    with pytest.raises(Interrupted):
        lightning.fit(experiment.task, datamodule=experiment.datamodule)
    assert set(multiprocessing.active_children()) <= before


STUCK = """
import time
from torch.utils.data import DataLoader
from segexp.functional.signals import calm, kill_children_at_exit

class Stuck(list):
    def __getitem__(self, index):
        time.sleep(600)

kill_children_at_exit()
loader = DataLoader(Stuck(range(4)), num_workers=1, persistent_workers=True, worker_init_fn=lambda _: calm())
iterator = iter(loader)
time.sleep(1)
print("end", flush=True)
"""


def test_a_worker_that_hangs_does_not_keep_the_process_from_ending():
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
