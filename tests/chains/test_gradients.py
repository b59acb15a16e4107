"""A step's gradient doesn't depend on how its images were cut into micro-batches or ranks.

Holds for networks without dropout whose normalisation doesn't mix images (GroupNorm here); with statistics over all ranks, for ranks.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback
from torch import nn

from segexp.data.shapes import Shapes
from segexp.functional.segments import compact
from tests.chains.training import datamodule, made, task, trainer

DATA = Shapes(height=64, width=64, train=8, val=1, test=1)
STEPS = 2
ROOT = Path(__file__).parents[2]


class Gradients(Callback):
    """Keeps the gradient of every step, and the share of the labelled pixels in each micro-batch."""

    def __init__(self, path=None):
        self.steps, self.path = [], path

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.steps.append(torch.cat([p.grad.flatten() for p in pl_module.model.parameters()]))

    def on_train_end(self, trainer, pl_module):
        if self.path and trainer.is_global_zero:
            torch.save(self.steps, self.path)


class LocalMeans(Callback):
    """The usual code: each micro-batch divides by its own counts."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        batch.counts = {name: n * trainer.accumulate_grad_batches for name, n in pl_module.loss.count(batch.targets).items()}


def uneven(sample, rng):
    """An augmentation: the lower part of a picture is void, by its number from nothing to 7/8."""
    rows = sample["segments"].shape[0] * (8 - int(sample["meta"]["id"][-1]) % 8) // 8
    segments = sample["segments"].as_subclass(torch.Tensor).clone()
    segments[rows:] = 0
    names = ("segments", "segment_labels", "segment_crowd")
    return sample | dict(zip(names, compact(segments, sample["segment_labels"], sample["segment_crowd"]), strict=True))


def gradients(name, batch_size, accumulate, *callbacks, **settings):
    """The gradients [steps,parameters] of the first steps, four images each."""
    parts, seen = made(name), Gradients(settings.pop("path", None))
    if settings.pop("by_batch", False):
        normalise_by_batch(parts.model)
    data = datamodule(parts, augment=uneven, batch_size=batch_size, dataset=DATA)
    loop = trainer(max_steps=STEPS, accumulate_grad_batches=accumulate, limit_val_batches=0, callbacks=[seen, *callbacks], **settings)
    loop.fit(task(parts), data)
    return seen.steps


def normalise_by_batch(module):
    """Put a BatchNorm in the place of each GroupNorm."""
    for name, child in module.named_children():
        if isinstance(child, nn.GroupNorm):
            setattr(module, name, nn.BatchNorm2d(child.num_channels))
        else:
            normalise_by_batch(child)


def error(found, wanted):
    """The largest difference as a share of the largest gradient, over the steps."""
    assert len(found) == len(wanted) == STEPS
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name", ["classification", "semantic", "record", "fcos", "mask_rcnn", "center_offset", "queries"])
def test_accumulated_micro_batches_give_the_gradient_of_one_batch(name):
    whole = gradients(name, 4, 1)
    assert error(gradients(name, 2, 2), whole) < 1e-5
    assert error(gradients(name, 1, 4), whole) < 1e-5


@pytest.mark.parametrize("name", ["semantic", "queries"])
def test_means_of_micro_batches_would_not(name):
    assert error(gradients(name, 2, 2, LocalMeans()), gradients(name, 4, 1)) > 1e-2


def test_two_ranks_give_the_gradient_of_one():
    names = ("semantic", "center_offset", "mask_rcnn", "queries", "fcos")
    command = [sys.executable, "-m", "tests.chains.ranks", *names]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    errors = {tuple(line.split()[:3]): float(line.split()[3]) for line in done.stdout.splitlines() if line.startswith(names)}
    wanted = {(name, *cut) for name in names for cut in (("2", "1"), ("1", "2"))}
    assert errors.keys() == wanted | {("semantic+sync", "2", "1")}
    assert max(errors.values()) < 1e-5
