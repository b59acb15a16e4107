"""What a search may draw: the swept values of a command line and of `sweep.space`, with the conditions under which each counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from segexp.catalogue import catalogue, explained
from segexp.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

FIXED = ("sweep", "launcher", "paths", "run", "resume", "logger", "hydra", "name", "errors")  # what is one for the whole search


@dataclass(frozen=True)
class Dimension:
    """One thing that is drawn for a trial.

    Args:
        key: of the override, with the `+` that it may need.
        choices: the values as text; empty where it is a number from `low` to `high`, both included.
        low, high: whole numbers, or both floats.
        step: between two neighbouring numbers; None for any.
        log: by magnitude.
        when: the choice with which alone it is drawn, `head=center` or `head=center|fcos`; empty for always.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False
    when: str = ""

    @property
    def name(self) -> str:
        """What the study calls it: under another condition it is something else."""
        return f"{self.when}/{self.key}" if self.when else self.key

    @property
    def first(self) -> str:
        """An override that it may become."""
        return f"{self.key}={self.choices[0] if self.choices else self.low}"

    def plain(self) -> list[Any]:
        """For a hash: equal for equal dimensions."""
        return list(astuple(self))

    def parsed(self, text: str) -> str | int | float | None:
        """The value that an override's text has here; None where it isn't one of those that may be drawn."""
        if self.choices:
            return text if text in self.choices else None
        try:
            number = int(text) if isinstance(self.low, int) else float(text)
        except ValueError:
            return None
        return number if self.low <= number <= self.high else None


def split(overrides: Sequence[str]) -> tuple[list[str], list[Dimension]]:
    """The overrides that every job has, and what is swept.

    Works inside `segexp.config.session`.

    Raises:
        ConfigError: an override can't be read, or can't be searched over.
    """
    parsed = _parsed(overrides)
    common = [o.input_line or "" for o in parsed if not o.is_sweep_override()]
    return common, [_dimension(o) for o in parsed if o.is_sweep_override()]


def space(common: Sequence[str], typed: Sequence[Dimension], section: Mapping[str, Any]) -> list[Dimension]:
    """All dimensions in the order in which they are drawn: one comes after those that its condition asks for.

    What was typed comes before what `sweep.space` says of the same key.

    Args:
        common: the overrides that every job has.
        typed: what was swept on the command line.
        section: the config's `sweep`, resolved.

    Raises:
        ConfigError: an entry can't be read, names no sweep, or waits for itself.
    """
    taken = {_bare(text) for text in common} | {_bare(d.key) for d in typed}
    wanted = {key: str(when) for key, when in _flat(section["when"])}
    lines = {key: text for key, text in _flat(section["space"]) if _bare(_halves(key)[1]) not in taken}
    listed = [_conditional(key, str(text), wanted) for key, text in lines.items()]
    found = [_under(d, wanted.get(d.key, "")) for d in typed] + listed
    for key in wanted:
        if key not in {d.key for d in found} | {_bare(text) for text in common}:
            raise ConfigError("a condition of what isn't drawn", where=f"sweep.when.{key}", fix=f"{key}=choice(...), or leave it out")
    for dimension in found:
        if dimension.key.lstrip("+").split(".")[0] in FIXED:
            raise ConfigError("this is one for the whole search", where=dimension.first, fix="give it one value")
    if not found:
        raise ConfigError("a search without anything to draw", where="sweep.space", fix='sweep a key: optimizer.lr="interval(1e-4,1e-1)"')
    return _ordered(found)


def _parsed(overrides: Sequence[str]) -> list[Override]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    with explained():
        return OverridesParser.create(catalogue("train", overrides).loader).parse_overrides(list(overrides))


def _dimension(override: Override, when: str = "") -> Dimension:
    key, line = override.get_key_element(), override.input_line or ""
    value: Any = override.value()
    log = "log" in value.tags
    if override.is_interval_sweep():
        if not value.start < value.end or (log and value.start <= 0):
            fix = "interval(low,high), with log from above 0"
            raise ConfigError("the interval has no values", where=line, fix=fix)
        return Dimension(key, low=value.start, high=value.end, log=log, when=when)
    if log:
        raise ConfigError("only an interval is drawn by magnitude", where=line, fix=f"{key}=tag(log,interval(1e-4,1e-1))")
    texts = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not texts:
        raise ConfigError("the sweep has no values", where=line, fix=f"{key}=a,b,c")
    if override.is_range_sweep() and value.step > 0 and len(texts) > 1:
        kind = int if all(isinstance(part, int) for part in (value.start, value.stop, value.step)) else float
        return Dimension(key, low=kind(texts[0]), high=kind(texts[-1]), step=value.step, when=when)
    return Dimension(key, choices=texts, when=when)


def _conditional(key: str, text: str, wanted: Mapping[str, str]) -> Dimension:
    """An entry of `sweep.space`: its key may carry its condition, as `optimizer=sgd/optimizer.lr`."""
    own, bare = _halves(key)
    with _named(f"sweep.space.{key}"):
        (override,) = _parsed([f"{bare}={text}"])
    if not override.is_sweep_override():
        fix = 'interval(1e-4,1e-1), tag(log,interval(..)), int(interval(1,8)), range(1,8) or "choice(a,b)"'
        raise ConfigError(f"{text!r} is no set of values", where=f"sweep.space.{key}", fix=fix)
    return _dimension(override, own or wanted.get(bare, ""))


class _named:
    """Errors within name the place in the config."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, ConfigError):
            raise ConfigError(error.what, where=self.where, fix=error.fix) from error


def _under(dimension: Dimension, when: str) -> Dimension:
    return Dimension(*astuple(dimension)[:-1], when=when)


def _halves(key: str) -> tuple[str, str]:
    """(Condition, key) of what is written before a value."""
    own, _, bare = key.rpartition("/")
    return (own, bare) if "=" in own else ("", key)


def _bare(text: str) -> str:
    return text.partition("=")[0].lstrip("+")


def _flat(tree: Mapping[str, Any] | None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Entries by dotted key: `{optimizer.lr: ...}` and `{optimizer: {lr: ...}}` are the same."""
    for key, value in (tree or {}).items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", ",".join(map(str, value)) if isinstance(value, list) else value


def _ordered(found: Sequence[Dimension]) -> list[Dimension]:
    """Those without a condition first, each other one behind what decides of it."""
    left, placed = list(found), []
    while left:
        waiting = {_bare(d.key) for d in left}
        ready = [d for d in left if not d.when or _bare(d.when) not in waiting]
        if not ready:
            raise ConfigError("conditions that wait for each other", where=f"sweep.when.{left[0].key}", fix="leave one of them out")
        placed += ready
        left = [d for d in left if d not in ready]
    return placed
