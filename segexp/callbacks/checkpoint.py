"""Checkpoints of a training: when they are written, what is in them, and how a training goes on from one."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.plugins.io import CheckpointIO
from pytorch_lightning.trainer.states import TrainerFn

from segexp.callbacks.evaluation import RunInfo
from segexp.callbacks.position import Position, loop_states, position
from segexp.errors import NonFiniteLossError
from segexp.functional import ranks
from segexp.weights.checkpoints import name_of, read_checkpoint, settle, verify, write

FORMAT = 1  # of what stands in a checkpoint below "run"


class PlainCheckpointIO(CheckpointIO):
    """Lightning's door to checkpoint files: written whole, verified, and nothing but tensors and plain containers."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint and its record; raises `CheckpointError`, and leaves what was there."""
        write(Path(path), checkpoint, checkpoint.get("run", {}).get("record", {"step": checkpoint.get("global_step", 0)}))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Verify and read a checkpoint; raises `WeightsError`."""
        verify(Path(path))
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint and its record."""
        Path(path).with_suffix(".json").unlink(missing_ok=True)
        Path(path).unlink(missing_ok=True)


class Checkpoint(Callback):
    """Save the whole state of a training at boundaries between optimizer steps.

    That is after each validation, at the end, every so many steps or seconds, and when a stop was asked for, of any rank:
    at each boundary all agree. It comes first among the callbacks, so that what the others do at the end of an epoch is done
    after going on, and once.

    Args:
        run: the run; greater is better for its monitored figure unless the name ends in `loss`.
        every_n_train_steps: besides the one after each validation.
        every_seconds: of wall-clock time, so that long epochs lose little.
        keep: how many of the latest steps stay, at least 2; the best stays in any case.
    """

    def __init__(self, run: RunInfo, *, every_n_train_steps: int | None = None, every_seconds: float | None = None, keep: int = 2) -> None:
        self.run, self.folder = run, run.folder / "checkpoints"
        self.every, self.seconds, self.keep = every_n_train_steps, every_seconds, max(2, keep)
        self.saved = (0, False)  # (step, pending) of the state on disk; at the start there is nothing to lose
        self.clock = time.monotonic()
        self.late = self.asked = False  # is a save due by the clock, is a stop wanted? As all ranks agreed last
        self.going_on: Position | None = None
        self.figures: dict[str, torch.Tensor] = {}  # as they were logged last, before going on

    # ------------------------------------------------------------------------------------------ going on

    def on_load_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        at = Position(**checkpoint["run"]["position"]).refined(trainer.accumulate_grad_batches)
        checkpoint["loops"] = loop_states(trainer, at)
        trainer.datamodule.start = (at.epoch, -(-at.batches // at.accumulate))  # ty: ignore[missing-attribute]
        self.going_on, self.saved = at, (at.step, at.pending)
        self.figures = {name: torch.tensor(value) for name, value in checkpoint["run"]["figures"].items()}

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        if self.run.stop:
            self.run.stop.install()  # Lightning has put its own handler for SIGTERM before ours
        if self.going_on:
            trainer.should_stop = self.going_on.stop
            trainer._logger_connector._callback_metrics.update(self.figures)  # what other callbacks look at
            if self.run.changed:
                pl_module.renew_rates()  # the checkpoint's came with the optimizer's state
        self.clock = time.monotonic()

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        if self.going_on and self.going_on.over:
            for callback in _averaging(trainer):  # Lightning went past the hook that does this
                callback.on_train_end(trainer, pl_module)

    # ------------------------------------------------------------------------------------------ boundaries

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx % trainer.accumulate_grad_batches:
            return
        self._agree()
        due = pl_module.evaluated_at == trainer.global_step
        if batch_idx and (due or self._wanted(trainer)):  # with the first batch the boundary was seen at the end of the epoch before
            self.save(trainer, pl_module, position(trainer, due=due))
        self._leave_if_saved(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._agree()
        if trainer.state.fn == TrainerFn.FITTING and self._wanted(trainer):
            self.save(trainer, pl_module, position(trainer, due=True, pending=True))
            self._leave_if_saved(trainer)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *args: Any) -> None:
        if batch_idx >= _common(trainer.val_dataloaders, trainer.limit_val_batches):  # not all ranks have this one
            return
        self._agree()
        if self.asked and trainer.state.fn == TrainerFn.FITTING:
            for callback in _averaging(trainer):  # while validating, the averaged weights are in the model's place
                callback.on_validation_epoch_end(trainer, pl_module)
            self.save(trainer, pl_module, position(trainer, due=True, pending=True))
        self._leave_if_saved(trainer)

    def on_test_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, *args: Any) -> None:
        if batch_idx < _common(trainer.test_dataloaders, trainer.limit_test_batches):
            self._agree()
            self._leave_if_saved(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._agree()
        due = pl_module.evaluated_at == trainer.global_step
        if due or self._wanted(trainer) or self._over(trainer):
            self.save(trainer, pl_module, position(trainer, due=due))
        self._leave_if_saved(trainer)

    def _agree(self) -> None:
        """Learn what any rank wants at this boundary; all call it there."""
        stop = self.run.stop
        late = self.seconds is not None and time.monotonic() - self.clock >= self.seconds
        wanted = ranks.largest([int(late), stop.number if stop else 0])
        self.late, self.asked = bool(wanted[0]), bool(wanted[1])
        if stop and self.asked:
            stop.ask(wanted[1])

    def _wanted(self, trainer: Trainer) -> bool:
        return self.late or self.asked or bool(self.every and trainer.global_step % self.every == 0)

    def _over(self, trainer: Trainer) -> bool:
        progress: Any = trainer.fit_loop.epoch_progress.current
        epochs = trainer.max_epochs is not None and 0 <= trainer.max_epochs <= progress.processed
        return epochs or trainer.should_stop or 0 <= trainer.max_steps <= trainer.global_step

    def _leave_if_saved(self, trainer: Trainer) -> None:
        if self.run.stop and self.asked and (self.saved[0] == trainer.global_step or trainer.state.fn != TrainerFn.FITTING):
            self.run.stop.check(f"step {trainer.global_step}, {self.run.folder}")

    # ------------------------------------------------------------------------------------------ saving

    def save(self, trainer: Trainer, task: Any, at: Position) -> None:
        """Write the state at a boundary, let `LAST` and perhaps `BEST` name it, remove what is older.

        Raises:
            CheckpointError: it can't be written, or a weight isn't finite; the checkpoints before stay.
        """
        if (at.step, at.pending) == self.saved:
            return
        _require_finite(task, at)
        name = name_of(at.step, pending=at.pending)
        split, _, figure = (self.run.monitor or "").partition("/")
        score = task.figures.get(split, {}).get(figure) if at.due and not at.pending else None
        files = {"metrics.jsonl": _synced_size(self.run.folder / "metrics.jsonl")}
        record = {"step": at.step, "epoch": at.epoch, "score": score, "pending": at.pending, "files": files}
        figures = {key: float(value) for key, value in trainer.callback_metrics.items()}
        task.run_state = {"format": FORMAT, "position": at.as_dict(), "record": record, "figures": figures, "config": self._config()}
        trainer.save_checkpoint(self.folder / f"{name}.ckpt")
        self.saved, self.clock = (at.step, at.pending), time.monotonic()
        if trainer.is_global_zero:
            settle(self.folder, name, self.run.monitor, self.keep)
            self.run.saved(at.step)

    def _config(self) -> str:
        path = self.run.folder / "config.yaml"
        return path.read_text(encoding="utf-8") if path.is_file() else ""


def _common(loader: Any, limit: float) -> int:
    """So many batches of an evaluation have all ranks, where each takes so many of its own, or such a share of them."""
    common = loader.batch_sampler.common
    return int(common * limit) if isinstance(limit, float) else min(common, limit)


def _averaging(trainer: Any) -> list[WeightAveraging]:
    return [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]


def _synced_size(path: Path) -> int:
    """Bytes of a file that are on the disk now."""
    if not path.exists():
        return 0
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        return os.fstat(file).st_size
    finally:
        os.close(file)


def _require_finite(task: Any, at: Position) -> None:
    for name, value in task.model.state_dict().items():
        value = value.to_local() if hasattr(value, "to_local") else value  # of a sharded weight what lies here, perhaps nothing
        if value.is_floating_point() and value.numel() and not all(map(math.isfinite, torch.aminmax(value))):  # 10 x isfinite's speed
            raise NonFiniteLossError(
                f"the weight {name} isn't finite after step {at.step}; nothing is saved",
                where="the last step's gradients",
                fix="lower the learning rate, warm up (scheduler.warmup=500), or clip (trainer.gradient_clip_val=1)",
            )
