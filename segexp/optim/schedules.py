"""Learning-rate schedules, stepped once per optimizer step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from segexp.errors import ConfigError


def poly(
    optimizer: Optimizer,
    steps: int,
    *,
    power: float = 0.9,
    warmup: int = 0,
    warmup_factor: float = 1e-3,
    floor: float = 0.0,
    every: int = 1,
) -> LambdaLR:
    """Linear warm-up, then (1 - step / steps) ^ power: the schedule of the DeepLab papers.

    Args:
        optimizer: its learning rates are multiplied by the factor.
        steps: of the whole training.
        power: of the polynomial.
        warmup: steps from `warmup_factor` up to the polynomial.
        warmup_factor: the first step's factor.
        floor: the least factor after the warm-up.
        every: steps for which the polynomial stays as it is.

    Raises:
        ConfigError: `every` is below 1.
    """
    check_every(every)

    def factor(step: int) -> float:
        decay = max(floor, (1 - min(step // every * every, steps) / max(steps, 1)) ** power)
        return decay * _warm(step, warmup, warmup_factor)

    return LambdaLR(optimizer, factor)


def step(optimizer: Optimizer, steps: int, *, every: int, factor: float = 0.1, warmup: int = 0, warmup_factor: float = 1e-3) -> LambdaLR:
    """Linear warm-up, and x `factor` after each `every` steps: the schedule of DeepLabv1.

    Raises:
        ConfigError: `every` is below 1.
    """
    check_every(every)

    def rate(step: int) -> float:
        return factor ** (step // every) * _warm(step, warmup, warmup_factor)

    return LambdaLR(optimizer, rate)


def _warm(step: int, warmup: int, first: float) -> float:
    """From `first` up to 1 in `warmup` steps."""
    return 1.0 if step >= warmup else first + (1 - first) * step / warmup


def check_every(every: int) -> None:
    """Refuse a number of steps below 1.

    Raises:
        ConfigError: says so.
    """
    if not isinstance(every, int) or every < 1:
        raise ConfigError("it is a number of steps", where=f"scheduler.every={every}", fix="scheduler.every=1, or more")


def renew(optimizer: Optimizer, schedule: Any, groups: Sequence[Mapping[str, Any]]) -> None:
    """Give an optimizer that was loaded from a checkpoint other learning rates, decays, ...; the schedule stays where it is.

    Args:
        optimizer: as loaded.
        schedule: as loaded.
        groups: of the optimizer as it would be made now, without their parameters.
    """
    for number, (group, wanted) in enumerate(zip(optimizer.param_groups, groups, strict=True)):
        if isinstance(schedule, LambdaLR):
            factor = schedule.lr_lambdas[number](schedule.last_epoch)
        else:
            factor = group["lr"] / group["initial_lr"]
        group.update(wanted)
        group["lr"] = wanted["initial_lr"] * factor
    schedule.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
    schedule._last_lr = [group["lr"] for group in optimizer.param_groups]


def constant(optimizer: Optimizer, steps: int, *, warmup: int = 0, warmup_factor: float = 1e-3) -> LambdaLR:
    """Linear warm-up, then no change."""
    return LambdaLR(optimizer, lambda step: 1.0 if step >= warmup else warmup_factor + (1 - warmup_factor) * step / warmup)
