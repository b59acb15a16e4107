"""Which keys moved the figure, and which settings cost least for what they reach: plain sums, no model."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 6  # groups of equal size that the values of a continuous key are put into


@dataclass(frozen=True)
class Importance:
    """The share of the variance between runs that goes with one key.

    Args:
        key: of the config.
        share: 0 to 1, less what chance gives; of several keys they need not sum to 1.
        groups: values of the key, or bins of a continuous one.
    """

    key: str
    share: float
    groups: int


def importance(settings: Sequence[dict[str, Any]], values: Sequence[float]) -> list[Importance]:
    """Per key the share of the figure's variance that lies between its values, the largest first.

    It is epsilon squared of a one-way analysis of variance: what lies between groups, less what as many random groups give.
    Keys are taken one at a time: what two do only together isn't seen, and where keys were not crossed, one may bear what is another's.

    Args:
        settings: per run, its value of each key; absent counts as a value.
        values: per run, its figure.
    """
    y = np.asarray(values, np.float64)
    keys = sorted({key for setting in settings for key in setting})
    total = float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0
    if total <= 0:
        return []
    found = [_one(key, _groups([setting.get(key) for setting in settings]), y, total) for key in keys]
    return sorted((one for one in found if one is not None), key=lambda one: (-one.share, one.key))


def _one(key: str, groups: np.ndarray, y: np.ndarray, total: float) -> Importance | None:
    sizes = np.bincount(groups)
    count, n = len(sizes), len(y)
    if count < 2 or n <= count:  # one value, or nothing to compare with inside the groups
        return None
    means = np.bincount(groups, y) / sizes
    within = float(((y - means[groups]) ** 2).sum())
    share = 1 - (within / (n - count)) / (total / (n - 1))
    return Importance(key, min(max(share, 0.0), 1.0), count)


def _groups(column: Sequence[Any]) -> np.ndarray:
    """The number of each value's group; of many different numbers, the quantile's."""
    plain = [value if isinstance(value, Hashable) else repr(value) for value in column]
    different = dict.fromkeys(plain)
    numbers = [value for value in plain if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(different) > 2 * BINS and len(numbers) == len(plain):
        y = np.asarray(plain, np.float64)
        bins = np.searchsorted(np.sort(y), y) * BINS // len(y)  # equal values fall into one
        return np.unique(bins, return_inverse=True)[1]
    numbered = {value: place for place, value in enumerate(different)}
    return np.asarray([numbered[value] for value in plain])


def front(costs: Sequence[float | None], values: Sequence[float], *, higher_is_better: bool = True) -> list[bool]:
    """Which settings are on the Pareto front: no other is as good for less, or better for as much.

    Args:
        costs: lower is better; one without is not on it.
        values: the figures.
        higher_is_better: of the figures.
    """
    sign = 1.0 if higher_is_better else -1.0
    known = [(cost, -sign * value, place) for place, (cost, value) in enumerate(zip(costs, values, strict=True)) if cost is not None]
    best, on = float("inf"), [False] * len(costs)
    at: tuple[float, float] | None = None
    for cost, loss, place in sorted(known):
        if loss < best or (cost, loss) == at:
            best, at, on[place] = loss, (cost, loss), True
    return on
