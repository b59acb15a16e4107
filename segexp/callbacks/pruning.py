"""Ending a run that does badly: after each validation its figure is reported, and the answer may be to stop there."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.trainer.states import TrainerFn

from segexp.callbacks.evaluation import RunInfo
from segexp.errors import PrunedError
from segexp.functional import ranks


class Pruning(Callback):
    """Reports, and ends the run once its checkpoint is written: it comes after `Checkpoint` among the callbacks.

    A run that goes on reports what it has in `metrics.jsonl` first: it was cut back to the checkpoint, and whoever listens
    may not know all of it.

    Args:
        run: the run.
        metric: the figure that is reported, such as `val/miou`.
        report: told the number of the validation, from 1, and the figure; True if the run is to end. None on other ranks than the
            first: they do as it does.
    """

    def __init__(self, run: RunInfo, metric: str, report: Callable[[int, float], bool] | None) -> None:
        self.run, self.metric, self.report = run, metric, report
        self.validations = 0
        self.ends = False

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        for value in ranks.shared(self._written() if self.report else [])[0]:
            self._tell(value)
        self._leave(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            split, _, name = self.metric.partition("/")
            value = pl_module.figures.get(split, {}).get(name)
            self._tell(None if value is None else float(torch.tensor(value)))  # as it is logged, in float32

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx > 0 and batch_idx % trainer.accumulate_grad_batches == 0:
            self._leave(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._leave(trainer)

    def _tell(self, value: float | None) -> None:
        self.validations += 1
        if value is not None and math.isfinite(value):
            said = self.report is not None and self.report(self.validations, value)
            self.ends = bool(ranks.largest([int(said)])[0])

    def _leave(self, trainer: Trainer) -> None:
        if self.ends:
            raise PrunedError(f"pruned after {self.validations} validations", where=f"step {trainer.global_step}, {self.run.folder}")

    def _written(self) -> list[float | None]:
        path = self.run.folder / "metrics.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
        return [row["value"] for row in rows if row["name"] == self.metric]
