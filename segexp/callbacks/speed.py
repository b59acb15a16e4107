"""How fast a run is and what memory it takes: images per second of training and of evaluation, the process's peak."""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

from segexp.callbacks.evaluation import EvaluationCallback
from segexp.task import Evaluated, Task
from segexp.types import Batch


class Stopwatch:
    """Images and the seconds that they took."""

    def __init__(self) -> None:
        self.images, self.seconds, self.since = 0, 0.0, 0.0

    def start(self) -> None:
        self.since = time.monotonic()

    def stop(self) -> None:
        """Whatever lies between this and the next `start` doesn't count."""
        self.seconds += time.monotonic() - self.since if self.since else 0.0
        self.since = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds so far."""
        return self.seconds + (time.monotonic() - self.since if self.since else 0.0)

    @property
    def rate(self) -> float | None:
        """Images per second; None before the first image."""
        return self.images / self.elapsed if self.images else None


class Speed(EvaluationCallback):
    """Measure this process's part of a run, all ranks together; it writes nothing."""

    def __init__(self) -> None:
        self.training, self.evaluation = Stopwatch(), Stopwatch()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.training.start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.training.images += len(batch.ids) * trainer.world_size

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.training.stop()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.training.stop()
        self.evaluation.start()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.evaluation.stop()
        if fitting(trainer):
            self.training.start()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.evaluation.start()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.evaluation.stop()

    def batch(self, split: str, task: Task, outputs: Evaluated, batch: Batch) -> None:
        self.evaluation.images += len(batch.ids) * task.trainer.world_size

    def figures(self) -> dict[str, float | None]:
        """What `result.json` has under `speed`; None where nothing was measured."""
        return {
            "train_images_per_s": self.training.rate,
            "eval_images_per_s": self.evaluation.rate,
            "peak_memory_mib": peak_memory(),
            "peak_gpu_memory_mib": torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None,
        }


def fitting(trainer: Trainer) -> bool:
    """Does a training go on after this evaluation? (While it is validated, `trainer.training` is false.)"""
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking


def peak_memory() -> float | None:
    """The most main memory that this process has held, in MiB; None where the system doesn't tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
