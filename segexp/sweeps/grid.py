"""The jobs of a sweep: every combination of the values that its overrides take."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from segexp.catalogue import catalogue, explained
from segexp.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


def expand(primary: str, overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each job, the last sweep varying fastest.

    A benchmark stands for its runs (see `segexp.sweeps.benchmark`).
    Works inside `segexp.config.session`; a glob is matched against the options that its group has there.

    Args:
        primary: the primary config's name.
        overrides: as typed: `key=a,b`, `key=choice(a,b)`, `key=range(1,4)`, `group=glob(*)`, and plain ones, which every job has.

    Raises:
        ConfigError: an override can't be read, or it is an interval, which only a search can draw from.
    """
    from segexp.sweeps.benchmark import chosen, runs

    if chosen(overrides):
        return runs(primary, overrides)
    return product(primary, overrides)


def product(primary: str, overrides: Sequence[str]) -> list[list[str]]:
    """The same of overrides that choose no benchmark."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    with explained():
        parsed = OverridesParser.create(catalogue(primary, overrides).loader).parse_overrides(list(overrides))
    return [list(job) for job in itertools.product(*map(_variants, parsed))]


def _variants(override: Override) -> list[str]:
    """An override as text, once for each value that it takes."""
    line = override.input_line or ""
    if not override.is_sweep_override():
        return [line]
    if not override.is_discrete_sweep():
        fix = f"{override.get_key_element()}=a,b,c or range(start,stop,step); or sweep=tpe, a search, which draws from it"
        raise ConfigError("an interval has no end of values: a sweep needs them listed", where=line, fix=fix)
    found = [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
    if not found:
        raise ConfigError("the sweep has no values", where=line, fix=f"{override.get_key_element()}=a,b,c")
    return found
