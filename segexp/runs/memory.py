"""Where memory runs out: what counts as that, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from segexp.errors import OutOfMemoryError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from segexp.task import Task

_TEXTS = ("can't allocate memory", "out of memory", "ALLOC_FAILED")  # of plain RuntimeErrors: the CPU's allocator, CUDA, cuBLAS
_SMALLER = "smaller crops (augmentation.crop=[height,width]), or a smaller model"


@contextmanager
def explained(config: DictConfig, task: Task, *, pieces: int = 1) -> Iterator[None]:
    """Turn whatever says that memory ran out into one error that says in what, and what to change.

    Args:
        config: of the run.
        task: that is trained or evaluated.
        pieces: that training batches are cut into.

    Raises:
        OutOfMemoryError: in place of such an error; every other one passes.
    """
    try:
        yield
    except BaseException as error:
        if not _out_of_memory(error):
            raise
        raise (_of_evaluation(config, task) if task.evaluates else _of_training(config, task, pieces)) from error


def _out_of_memory(error: BaseException) -> bool:
    import torch

    plain = isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)
    return plain or isinstance(error, (MemoryError, torch.OutOfMemoryError))


def _of_training(config: DictConfig, task: Any, pieces: int) -> OutOfMemoryError:
    from segexp.functional import ranks

    size, accumulate = config.data.loader.batch_size, config.trainer.accumulate_grad_batches
    fix = _SMALLER
    if pieces < size:
        halve = "trainer.on_oom=halve, or " if config.trainer.on_oom != "halve" and ranks.world() == 1 else ""
        same = f"data.loader.batch_size={size // 2} trainer.accumulate_grad_batches={2 * accumulate} (the same effective batch)"
        fix = f"{halve}{same}, or {_SMALLER}"
    return OutOfMemoryError(
        f"the memory is too small for step {task.global_step} with a batch of {_shape(task) or size // pieces}",
        where=f"data.loader.batch_size={size}, augmentation.crop",
        fix=fix,
    )


def _of_evaluation(config: DictConfig, task: Any) -> OutOfMemoryError:
    size = config.data.loader.eval_batch_size
    smaller = "augmentation.scale, or a smaller model"
    return OutOfMemoryError(
        f"the memory is too small for an evaluation with a batch of {_shape(task) or size}",
        where=f"data.loader.eval_batch_size={size}, augmentation.scale",
        fix=f"data.loader.eval_batch_size={size // 2} (the same run goes on), or {smaller}" if size > 1 else smaller,
    )


def _shape(task: Any) -> str:
    return f"{task.shape[0]} x {task.shape[2]}x{task.shape[3]}" if task.shape else ""
