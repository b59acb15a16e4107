"""Drawing the overrides of a trial: every dimension whose condition holds, in one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segexp.catalogue import catalogue
from segexp.config import compose
from segexp.overrides import check_overrides
from segexp.search.space import Dimension

if TYPE_CHECKING:
    from optuna import Trial


def draw(dimensions: Sequence[Dimension], common: Sequence[str], trial: Trial) -> list[str]:
    """The overrides of a trial's job; drawn again for the same trial they are the same.

    Works inside `segexp.config.session`.

    Args:
        dimensions: in the order of `segexp.search.space.space`.
        common: the overrides that every job has.
        trial: asked for, or begun earlier.

    Raises:
        ConfigError: what was drawn so far doesn't compose, and a condition asks for it.
    """
    drawn: list[str] = []
    for dimension in dimensions:
        if not dimension.when or holds(dimension.when, [*common, *drawn]):
            drawn.append(f"{dimension.key}={_suggested(dimension, trial)}")
    return [*common, *drawn]


def _suggested(dimension: Dimension, trial: Trial) -> str:
    """The value that a trial has or is given, as text."""
    name, low, high, log = dimension.name, dimension.low, dimension.high, dimension.log
    if dimension.choices:
        return trial.suggest_categorical(name, dimension.choices)
    if isinstance(low, int):
        return str(trial.suggest_int(name, low, int(high), log=log, step=int(dimension.step or 1)))
    value = trial.suggest_float(name, low, high, log=log, step=dimension.step)
    return repr(round(value, 12) if dimension.step else value)


def holds(when: str, overrides: Sequence[str]) -> bool:
    """Is one of the choices of a condition made: on the command line, by a draw, or by the config that they make?"""
    key, _, wanted = when.partition("=")
    given = dict(_pair(text) for text in overrides)
    found = given[key] if key in given else _composed(key, overrides)
    return str(found) in [part.strip() for part in wanted.split("|")]


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key.lstrip("+"), value.strip("'\"")


def _composed(key: str, overrides: Sequence[str]) -> Any:
    """What the config says of a key: the option of a group, else a value."""
    from omegaconf import OmegaConf

    choices: Mapping[str, str] = catalogue("train", overrides).base(check_overrides("train", overrides).groups).choices
    return choices[key] if key in choices else OmegaConf.select(compose("train", overrides), key)
