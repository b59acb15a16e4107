"""What callbacks of this project share: the run that they belong to, and one set of hooks for validation and test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from segexp.functional.signals import Stop
from segexp.task import Evaluated, Task
from segexp.types import Batch


@dataclass(frozen=True)
class RunInfo:
    """What a callback of `conf/callbacks` with `_partial_: true` is completed with.

    Args:
        folder: of the run, or of an evaluation.
        monitor: the figure that decides, e.g. `val/miou`.
        stop: who to ask whether the run should end; None where nobody asks.
        saved: told the step of each checkpoint.
        planned: told how many steps the training is going to have.
        changed: keys in which the config differs from the one that the run began with.
    """

    folder: Path
    monitor: str | None
    stop: Stop | None = None
    saved: Callable[[int], None] = lambda step: None
    planned: Callable[[int], None] = lambda steps: None
    changed: tuple[str, ...] = ()


class EvaluationCallback(Callback):
    """Calls `start`, `batch` and `end` for validation and test alike."""

    def start(self, split: str) -> None:
        """Before the first batch of an evaluation."""

    def batch(self, split: str, task: Task, outputs: Evaluated, batch: Batch) -> None:
        """After each batch."""

    def end(self, split: str) -> None:
        """After the last batch."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start("val")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start("test")

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Evaluated, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.batch("val", pl_module, outputs, batch)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Evaluated, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.batch("test", pl_module, outputs, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.end("val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.end("test")
