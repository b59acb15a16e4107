"""The settings of a leaderboard as rows of a page: the keys that tell them apart, in few words."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from segexp.statistics.board import Entry

MAX_KEYS = 40
GROUP_KEYS = ("name", "_target_")  # leaves that stand for a whole group, the best first


def told_apart(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Per entry, the keys that differ between entries, and their values.

    As typed, where what was typed tells all entries apart; else by the leaves of their configs, of which those that change
    together (`backbone.name`, `backbone.weights`) are one.
    """
    typed = [_typed(entry.overrides) for entry in entries]
    varied = _differing(typed)
    rows = [{key: row.get(key) for key in varied} for row in typed]
    if len({json.dumps(row, sort_keys=True) for row in rows}) == len(entries):
        return rows
    return _leaves(entries)


def label(row: Mapping[str, Any]) -> str:
    """E.g. `backbone=resnet50 optimizer.lr=0.01`; `without optimizer.lr` where no key that others have is given."""
    given = " ".join(f"{key}={shown(value)}" for key, value in row.items() if value is not None)
    return given or (f"without {', '.join(row)}" if row else "the only setting")


def shown(value: Any) -> str:
    """A value in a cell; of a number as a search draws it, five digits."""
    if isinstance(value, float):
        return f"{value:.5g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _typed(overrides: Sequence[str]) -> dict[str, Any]:
    found = {}
    for text in overrides:
        key, _, value = text.lstrip("+~").partition("=")
        found[key] = _plain(value)
    return {key: value for key, value in found.items() if key != "seed"}


def _plain(text: str) -> Any:
    """A number where it is one."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else text


def _differing(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for row in rows for key in row)
    return [key for key in keys if len({repr(row.get(key)) for row in rows}) > 1][:MAX_KEYS]


def _leaves(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The leaves that differ; of those that part the entries in the same way, one."""
    keys = [key for key in entries[0].settings if key != "seed"] if entries else []
    chosen: dict[tuple[int, ...], str] = {}
    for key in sorted(keys, key=_rank):
        chosen.setdefault(_parts([entry.settings.get(key) for entry in entries]), key)
    kept = [key for key in keys if key in chosen.values()][:MAX_KEYS]
    return [{_short(key): _value(key, entry.settings.get(key)) for key in kept} for entry in entries]


def _rank(key: str) -> tuple[int, int, str]:
    last = key.rpartition(".")[2]
    return (GROUP_KEYS.index(last) if last in GROUP_KEYS else len(GROUP_KEYS), key.count("."), key)


def _parts(column: Sequence[Any]) -> tuple[int, ...]:
    """Which entries share a value, whatever the values are: equal for columns that part them in the same way."""
    numbers: dict[Any, int] = {}
    return tuple(numbers.setdefault(value if isinstance(value, Hashable) else repr(value), len(numbers)) for value in column)


def _short(key: str) -> str:
    group, _, last = key.rpartition(".")
    return group if group and last in GROUP_KEYS else key


def _value(key: str, value: Any) -> Any:
    named = key.endswith("._target_") and isinstance(value, str)
    return value.rpartition(".")[2] if named else value
