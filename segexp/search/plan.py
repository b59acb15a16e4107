"""A search as its command describes it: what is drawn, for what, and in which folder it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.config import compose, resolve
from segexp.errors import ConfigError, SegexpError
from segexp.overrides import check_overrides
from segexp.runs.directory import RunDirectory
from segexp.runs.identity import DIGITS, canonical, identity
from segexp.search.draw import holds
from segexp.search.settings import Settings, settings
from segexp.search.space import Dimension, space, split
from segexp.sweeps.sweep import slug

if TYPE_CHECKING:
    from omegaconf import DictConfig

TRIED = 16  # combinations that are composed to learn whether a search is wanted


@dataclass(frozen=True)
class Plan:
    """A search.

    Args:
        settings: its section `sweep`.
        dimensions: what is drawn, in order.
        common: the overrides that every job has; those of the search itself aren't among them.
        folder: of the sweep.
        launcher: the section `launcher`.
    """

    settings: Settings
    dimensions: tuple[Dimension, ...]
    common: tuple[str, ...]
    folder: Path
    launcher: dict[str, Any]


def plan(overrides: Sequence[str]) -> Plan | None:
    """The search that a sweep's command asks for; None for a grid.

    Works inside `segexp.config.session`.

    Raises:
        ConfigError: the search makes no sense; nothing was started.
    """
    config = _config(overrides)
    if config is None:
        return None
    plain = resolve(config)
    section = plain["sweep"]
    if section["sampler"] == "grid":
        _refuse_listed_space(section)
        return None
    wanted = settings(section, plain["monitor"])
    if plain["run"]["again"]:
        raise ConfigError("a search has no beginning again", where="run.again=true", fix="sweep.seed=1 draws others; or remove its folder")
    given, typed = split(overrides)
    common = [text for text in given if text.lstrip("+~").split("=")[0].split(".")[0] != "sweep"]
    dimensions = space(common, typed, section)
    _check(common, dimensions)
    base = compose("train", [*common, *(d.first for d in dimensions if not d.when)])
    outputs = RunDirectory.of(base, Path(plain["paths"]["outputs"])).path.parent
    name = f"{slug([d.key for d in dimensions])}-{_id(base, dimensions, wanted)}"
    return Plan(wanted, tuple(dimensions), tuple(common), outputs / "sweeps" / name, plain["launcher"])


def _config(overrides: Sequence[str]) -> DictConfig | None:
    """The config of a first job; None where a grid has to say what is wrong with its jobs."""
    common, typed = split(overrides)
    if swept := next((d for d in typed if d.key.lstrip("+").split(".")[0] == "sweep"), None):
        raise ConfigError("a sweep can't sweep over searches", where=swept.first, fix="give it one value, and type several commands")
    failure: SegexpError | None = None
    for chosen in islice(_variants(typed), TRIED):
        try:
            return compose("train", [*common, *chosen])
        except SegexpError as error:
            failure = failure or error
    if failure and any(text.startswith("sweep") for text in common):
        check_overrides("train", overrides)  # tells all slips at once
        raise failure
    return None


def _variants(typed: Sequence[Dimension]) -> Iterator[tuple[str, ...]]:
    return product(*([f"{d.key}={choice}" for choice in d.choices] or [d.first] for d in typed))


def _refuse_listed_space(section: dict[str, Any]) -> None:
    if section["space"] or section["when"]:
        key = "space" if section["space"] else "when"
        raise ConfigError("a grid takes what is swept on the command line alone", where=f"sweep.{key}", fix="sweep=tpe, or sweep=random")


def _check(common: Sequence[str], dimensions: Sequence[Dimension]) -> None:
    """Refuse names that don't exist, each under the condition with which it is drawn."""
    always = [d for d in dimensions if not d.when]
    check_overrides("train", [*common, *map(_line, always)])
    for dimension in dimensions:
        if dimension.when:
            key, _, options = dimension.when.partition("=")
            kept = [text for text in [*common, *(d.first for d in always)] if text.lstrip("+").partition("=")[0] != key]
            check_overrides("train", [*kept, f"{key}={options.split('|')[0]}", dimension.first])
            holds(dimension.when, [*common, *(d.first for d in always)])


def _line(dimension: Dimension) -> str:
    return f"{dimension.key}={','.join(dimension.choices)}" if len(dimension.choices) > 1 else dimension.first


def _id(base: DictConfig, dimensions: Sequence[Dimension], wanted: Settings) -> str:
    """Of what decides which trials are drawn: not of their number, of where they are kept, or of how many run at a time."""
    drawn = sorted(canonical(d.plain()) for d in dimensions)
    text = canonical([identity(base), drawn, wanted.plain()])
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:DIGITS]
