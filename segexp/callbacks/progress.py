"""How far a run is: a bar in a terminal, plain lines at a steady pace elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from segexp.callbacks.evaluation import RunInfo
from segexp.callbacks.speed import Speed, fitting


class Progress(Callback):
    """Show step, loss, the monitored figure, images/s and the time left.

    Args:
        run: the run; its monitored figure is shown.
        every: seconds between two lines where the output is no terminal.
    """

    def __init__(self, run: RunInfo, *, every: float = 10.0) -> None:
        self.monitor, self.every, self.planned = run.monitor, every, run.planned
        self.shown = 0.0
        self.bar: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.shown = time.monotonic()
        callbacks: Any = trainer.callbacks  # ty: ignore[missing-attribute]
        self.watch = next(callback.training for callback in callbacks if isinstance(callback, Speed))
        self.first = trainer.global_step  # of this process; more than 0 where a run goes on
        self.total = int(trainer.estimated_stepping_batches)
        if trainer.is_global_zero:
            self.planned(self.total)
        if trainer.is_global_zero and sys.stdout.isatty():
            self._open_bar()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        pause = self.every if self.bar is None else 0.2
        if time.monotonic() - self.shown < pause:
            return
        self.shown = time.monotonic()
        self._show(trainer, float(trainer.callback_metrics["train/loss"]))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value = self._monitored(trainer)
        if fitting(trainer) and value is not None and trainer.is_global_zero and self.bar is None:
            print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {self.monitor} {value:.4f}", flush=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.close()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _open_bar(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        self.bar = Bar(*columns)
        self.bar.start()
        self.row = self.bar.add_task("", total=self.total)

    def _show(self, trainer: Trainer, loss: float) -> None:
        if not trainer.is_global_zero:
            return
        step, value = trainer.global_step, self._monitored(trainer)
        text = f"loss {loss:.3f}" + (f"  {self.monitor} {value:.4f}" if value is not None else "")
        text += f"  {self.watch.rate or 0:.1f} images/s"
        if self.bar is not None:
            self.bar.update(self.row, completed=step, description=text)
        else:
            left = self.watch.elapsed / max(step - self.first, 1) * (self.total - step)
            print(f"step {step}/{self.total}  {text}  {int(left) // 60}:{int(left) % 60:02d} left", flush=True)

    def _monitored(self, trainer: Trainer) -> float | None:
        value = trainer.callback_metrics.get(self.monitor or "")
        return None if value is None else float(value)
