"""A run small enough for tests, and a callback that does what a test has planned at a hook and a step of it."""

import json
import os
import shutil
import signal
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback
from torch import nn

from segexp.config import compose
from segexp.functional.tensors import load_plain
from segexp.losses.cross_entropy import CrossEntropy
from segexp.runs.execute import execute
from segexp.types import Level
from segexp.weights.checkpoints import pointed

SMALL = [
    *("data.height=32", "data.width=48", "data.train=8", "data.val=3", "data.test=2", "data.loader.batch_size=2"),
    *("data.loader.eval_batch_size=2", "backbone=timm", "backbone._target_=tests.runs.planned.Tiny", "backbone.name=normed"),
    *("decoder=identity", "head.level=c2", "head.dropout=0.2"),
    *("trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1", "callbacks.panels.count=0"),
    *("callbacks.checkpoint.every_n_train_steps=3", "run.threads=1"),
    "+callbacks.planned={_target_: tests.runs.planned.Planned}",
]  # 8 steps; checkpoints after 3, 4 (validation), 6 and 8 (validation), of which the last two stay
MOMENTS = {  # of a kill -> the batch that it came before
    "before the first checkpoint": ("train", 1),
    "between two checkpoints": ("train", 5),
    "in a validation": ("val", 4),
    "in the last validation": ("val", 8),
    "in the test": ("test", 8),
}


class Tiny(nn.Module):
    """A backbone of a few weights, of the keys of timm's; `name` says whether it is `normed` or `plain`."""

    def __init__(self, data, *, name, output_stride, weights, drop_path, first_block_dilation, multi_grid, stem, layout):
        super().__init__()
        norm = nn.BatchNorm2d(8) if name == "normed" else nn.Identity()
        self.net = nn.Sequential(nn.Conv2d(data.in_channels, 8, 3, 2, 1), norm, nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
        self.spec, self.pad_to, self.weights = {"c2": Level(8, 4)}, 4, weights
        self.mean, self.std = (0.5,) * data.in_channels, (0.25,) * data.in_channels

    def forward(self, images):
        return {"c2": self.net(images)}


class Greedy(CrossEntropy):
    """A loss for which there is memory for `most` images of a split."""

    most = {}

    def forward(self, output, batch):
        split = batch.ids[0].partition("/")[0]
        if len(batch.ids) > self.most.get(split, len(batch.ids)):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(output, batch)


class Planned(Callback):
    """Calls `plan[hook, step](trainer, module)`; the hooks are `train`, `val` and `test`, before a batch of each."""

    plan = {}
    steps, rates, images = [], [], []  # of the training batches that were begun
    batch = None  # the one that is begun

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        Planned.batch = batch
        self.steps.append(trainer.global_step)
        self.images.append(len(batch.ids))
        self.rates.append(trainer.optimizers[0].param_groups[0]["initial_lr"])
        self.follow("train", trainer, pl_module)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.follow("val", trainer, pl_module)

    def on_test_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.follow("test", trainer, pl_module)

    def follow(self, hook, trainer, module):
        if action := self.plan.get((hook, trainer.global_step)):
            action(trainer, module)


@contextmanager
def planned(plan):
    """A plan holds here, and what is seen is seen anew."""
    Planned.plan = plan
    for seen in (Planned.steps, Planned.rates, Planned.images):
        seen.clear()
    try:
        yield Planned
    finally:
        Planned.plan = {}


def run(outputs, *overrides, plan=None):
    """Make the small run so; returns its outcome."""
    config = deepcopy(_composed(overrides))
    config.paths.outputs = str(outputs)
    with planned(plan or {}):
        return execute(config, [*SMALL, *overrides, f"paths.outputs={outputs}"])


def hurry(patch):
    """No pages and no waiting for the disk: a kill of the process needs neither."""
    patch.setattr("segexp.functional.files.os.fsync", lambda _: None)
    patch.setattr("segexp.report.page.write_report", lambda _: None)


@cache
def _composed(overrides):
    return compose("train", [*SMALL, *overrides])


def copies_to(folder):
    """An action: what a kill at this moment would leave, as an outputs folder."""

    def copy(trainer, module):
        source = Path(trainer.default_root_dir)
        if not folder.exists():  # of several batches of an evaluation the first
            shutil.copytree(source, folder / source.parent.name / source.name)

    return copy


def signals(number=signal.SIGTERM):
    """An action: ask this process to stop, once; a second signal would end it."""
    left = [number]
    return lambda trainer, module: os.kill(os.getpid(), left.pop()) if left else None


def fails(error):
    """An action: raise."""

    def fail(trainer, module):
        raise error

    return fail


def poisons(times=1):
    """An action: so many training batches become NaN."""
    left = [None] * times

    def poison(trainer, module):
        if left:
            left.pop()
            Planned.batch.images.fill_(float("nan"))

    return poison


def folder_of(outputs):
    """The one run of an outputs folder."""
    (folder,) = (path.parent for path in Path(outputs).glob("*/*/config.yaml"))
    return folder


def read(folder, name):
    return json.loads((Path(folder) / name).read_text())


def weights(folder):
    """The model's tensors in the last checkpoint, as one."""
    state = load_plain(pointed(Path(folder) / "checkpoints", "last"))["state_dict"]
    return torch.cat([value.flatten().double() for value in state.values()])


def ending(folder):
    """What a run ends with, but for what may differ between two ways there: weights, figures, files of records."""
    result = read(folder, "result.json")
    figures = {name: value for name, value in result.items() if name not in ("seconds", "speed", "config")}
    texts = [(Path(folder) / name).read_text() for name in ("metrics.jsonl", "per_image.jsonl")]
    return {"weights": weights(folder).tolist(), "figures": figures, "records": texts}


def content(folder):
    """Path -> bytes of all files, but for the lock."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file() and p.name != "lock"}


def refused(kind, outputs, *overrides):
    """The error of a start that must not change anything, nor train."""
    before = content(outputs)
    with pytest.raises(kind) as caught:
        run(outputs, *overrides)
    assert Planned.steps == []
    assert content(outputs) == before
    return caught.value
