"""The one task, data module and Trainer, around a tiny chain."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Trainer
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import ConstantLR

from segexp.build import Chain, chain
from segexp.data.shapes import Shapes
from segexp.datamodule import DataModule, LoaderOptions
from segexp.model import Model
from segexp.task import Task
from tests.chains.batches import DATA, SIZES, SPEC, resized
from tests.chains.presets import CHAINS


def made(name: str) -> Chain:
    """A chain by its preset's name, with the same weights each time."""
    torch.manual_seed(0)
    return chain(SPEC, **CHAINS[name])


def sgd(model: Model) -> Optimizer:
    """Plain descent, so that a step is the gradient."""
    return SGD(model.parameters(), lr=1e-3)


def constant(optimizer: Optimizer, steps: int) -> ConstantLR:
    """No schedule."""
    return ConstantLR(optimizer, factor=1.0)


def task(parts: Chain) -> Task:
    """The chain as the LightningModule."""
    return Task(parts.model, parts.loss, parts.metrics, SPEC, optimizer=sgd, scheduler=constant, seed=0)


def of_three_sizes(sample: dict[str, Any], rng: torch.Generator | None) -> dict[str, Any]:
    """An augmentation: the size follows from the sample's number."""
    return resized(sample, SIZES[int(sample["meta"]["id"][-1]) % 3])


def datamodule(parts: Chain, *, augment: Any = of_three_sizes, batch_size: int = 2, dataset: Shapes = DATA) -> DataModule:
    """The data module that the chain asks for."""
    needs = frozenset(parts.model.head.needs | parts.loss.needs)
    options = LoaderOptions(batch_size=batch_size, eval_batch_size=3)
    return DataModule(dataset, augment, options, seed=0, needs=needs, truth=parts.metrics.needs, count=parts.loss.count)


def trainer(**settings: Any) -> Trainer:
    """A silent Trainer that writes nothing."""
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False, "logger": False}
    return Trainer(**quiet, **{"accelerator": "cpu", "num_sanity_val_steps": 0, "use_distributed_sampler": False, **settings})
