"""Where a training stands between two optimizer steps, and how Lightning's loops are put there.

Lightning's own loop states depend on the hook in which they were taken. Here there is one boundary, the state after an
optimizer step, and the loops are written anew from it when a checkpoint is loaded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from pytorch_lightning import Trainer


@dataclass(frozen=True)
class Position:
    """A boundary between optimizer steps.

    Args:
        step: optimizer steps that are done.
        epoch: epochs that are behind us.
        batches: micro-batches of this epoch that are behind us, and `total` since the start.
        accumulate: micro-batches of an optimizer step.
        last: the epoch has no more batches.
        due: a validation belongs to this boundary...
        pending: ... and is still to come.
        stop: a callback has asked Lightning to end the training.
        over: the training has as many steps as it is to have; Lightning enters no loop then.
    """

    step: int
    epoch: int
    batches: int
    total: int
    accumulate: int
    last: bool
    due: bool
    pending: bool
    stop: bool
    over: bool

    def as_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return asdict(self)

    def refined(self, accumulate: int) -> Position:
        """The same boundary where a step has so many micro-batches."""
        factor = accumulate / self.accumulate
        return replace(self, batches=round(self.batches * factor), total=round(self.total * factor), accumulate=accumulate)


def position(trainer: Trainer, *, due: bool, pending: bool = False) -> Position:
    """The boundary behind the last batch that was completed; only to be called at one."""
    loop: Any = trainer.fit_loop
    done = loop.epoch_loop.batch_progress
    return Position(
        step=trainer.global_step,
        epoch=loop.epoch_progress.current.ready - 1,
        batches=done.current.completed,
        total=done.total.completed,
        accumulate=trainer.accumulate_grad_batches,
        last=done.current.ready == done.current.completed and done.is_last_batch,
        due=due,
        pending=pending,
        stop=trainer.should_stop,
        over=0 <= trainer.max_steps <= trainer.global_step,
    )


def loop_states(trainer: Trainer, at: Position) -> dict[str, Any]:
    """The states of Lightning's loops at a boundary, in the form that its checkpoints have."""
    loops: Any = {name: getattr(trainer, name).state_dict() for name in ("fit_loop", "validate_loop", "test_loop", "predict_loop")}
    fit, window = loops["fit_loop"], -(-at.batches // at.accumulate)
    fit["epoch_progress"] = _twice(_counts(at.epoch + 1, at.epoch + at.over))
    fit["epoch_loop.batch_progress"] = {
        "total": _counts(at.total, at.total),
        "current": _counts(at.batches, at.batches),
        "is_last_batch": at.last,
    }
    fit["epoch_loop.scheduler_progress"] = {"total": _ready(at.step), "current": _ready(window)}
    steps = {"total": _ready(at.step), "current": _ready(window)}
    zeroed = {name: value | {"started": value["ready"]} for name, value in steps.items()}
    fit["epoch_loop.automatic_optimization.optim_progress"] = {"optimizer": {"step": steps, "zero_grad": zeroed}}
    # A validation of which a batch was begun and none processed is what Lightning starts again.
    begun = _counts(1, 0) if at.pending else _counts(0, 0)
    fit["epoch_loop.val_loop.batch_progress"] = {"total": begun, "current": _counts(0, 0), "is_last_batch": False}
    # Where a validation is due, Lightning goes once more through the end of the batch, and counts it there.
    fit["epoch_loop.state_dict"] = {"_batches_that_stepped": at.step - at.due}
    return loops


def _counts(begun: int, ended: int) -> dict[str, int]:
    return {"ready": begun, "started": begun, "processed": ended, "completed": ended}


def _ready(count: int) -> dict[str, int]:
    return {"ready": count, "completed": count}


def _twice(counts: dict[str, int]) -> dict[str, dict[str, int]]:
    return {"total": dict(counts), "current": dict(counts)}
