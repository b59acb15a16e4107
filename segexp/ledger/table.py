"""Rows of the ledger chosen, in order, and as a table, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from segexp.errors import ConfigError
from segexp.ledger.rows import SHOWN, Row
from segexp.weights.checkpoints import FALLING

COLUMNS: dict[str, Callable[[Row], Any]] = {
    "id": lambda row: row.id,
    "name": lambda row: row.name,
    "run": lambda row: row.slug,
    "state": lambda row: row.state,
    "progress": lambda row: row.step,
    "value": lambda row: row.value,
    "when": lambda row: row.when,
    "duration": lambda row: row.seconds,
    "host": lambda row: row.host,
    "attempts": lambda row: row.attempts,
    "error": lambda row: row.error,
}
_ERROR_WIDTH = 60


def chosen(found: Sequence[Row], *, states: Sequence[str] = (), sort: str = "when", last: int | None = None) -> list[Row]:
    """The rows of some states, in order.

    Args:
        found: all.
        states: of `SHOWN`; all unless given.
        sort: a column, or a figure such as `val/miou`: the newest, the largest or the best first, texts by alphabet; with `-` before
            it the other way round. Rows without a value come last.
        last: only so many of the first.

    Raises:
        ConfigError: no such state, column or figure.
    """
    for state in states:
        if state not in SHOWN:
            raise _unknown("state", state, SHOWN, "--state=")
    rows = [row for row in found if not states or row.state in states]
    return _ordered(rows, sort, found)[:last]


def _ordered(rows: Sequence[Row], sort: str, all_rows: Sequence[Row]) -> list[Row]:
    key, reverse = sort.removeprefix("-"), sort.startswith("-")
    figures = {name for row in all_rows for name in row.figures}
    if key not in COLUMNS and key not in figures and all_rows:
        raise _unknown("column or figure", key, [*COLUMNS, *sorted(figures)], "--sort=")
    value: Callable[[Row], Any] = COLUMNS[key] if key in COLUMNS else lambda row: row.figures.get(key)
    have = sorted((row for row in rows if value(row) not in (None, "")), key=lambda row: (row.when, row.id), reverse=True)
    without = [row for row in rows if value(row) in (None, "")]
    texts = key in ("id", "name", "run", "state", "host", "error")
    less_is_better = key not in COLUMNS and _falls(key)
    if key == "value" and (monitors := {row.monitor for row in have}) and len(monitors) == 1:
        less_is_better = _falls(monitors.pop() or "")
    return sorted(have, key=value, reverse=(not texts and not less_is_better) != reverse) + without


def _falls(figure: str) -> bool:
    """Is less of it better?"""
    return figure.partition("/")[2].partition("/")[0] in FALLING


def _unknown(what: str, word: str, known: Sequence[str], option: str) -> ConfigError:
    near = get_close_matches(word, known, 1, 0.5)
    fix = f"{option}{near[0]}" if near else f"one of {', '.join(known[:16])}"
    return ConfigError(f"there is no {what} {word!r}", where=f"{option}{word}", fix=fix)


# ------------------------------------------------------------------------------------------------ as text


def as_json(rows: Sequence[Row]) -> str:
    """A list of objects with all that is known."""
    return json.dumps([row.as_dict() for row in rows], indent=1, ensure_ascii=False)


def as_csv(rows: Sequence[Row]) -> str:
    """A line per run, figures included; the first line names the columns."""
    figures = sorted({name for row in rows for name in row.figures})
    plain = ["id", "name", "slug", "state", "step", "steps", "monitor", "value", "when", "seconds", "host", "attempts", "error", "path"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*plain, *figures])
    for row in rows:
        writer.writerow([getattr(row, name) for name in plain] + [row.figures.get(name) for name in figures])
    return text.getvalue().rstrip("\n")


def as_table(rows: Sequence[Row], sort: str = "when") -> str:
    """A table for a person; in a terminal its lines are cut at the width."""
    figure = sort.removeprefix("-")
    names = [name for name in COLUMNS if name != "error"] + ([figure] if figure not in COLUMNS else [])
    cells = [names] + [[_cell(row, name) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = ["  ".join(cell.ljust(size) for cell, size in zip(line, widths, strict=True)) for line in cells]
    errors = ["error" if any(row.error for row in rows) else "", *(_short(row.error) for row in rows)]
    return "\n".join(f"{line}  {error}".rstrip()[:width] for line, error in zip(lines, errors, strict=True))


def _cell(row: Row, name: str) -> str:
    if name == "progress":
        return f"{row.step}/{row.steps}" if row.steps else str(row.step)
    if name == "value":
        return f"{row.value:.4f} {row.monitor or ''}".rstrip() if row.value is not None else "-"
    if name == "when":
        return datetime.fromisoformat(row.when).astimezone().strftime("%Y-%m-%d %H:%M") if row.when else "-"
    if name == "duration":
        return duration(row.seconds)
    if name not in COLUMNS:
        value = row.figures.get(name)
        return "-" if value is None else f"{value:.4f}"
    return str(COLUMNS[name](row)) or "-"


def _short(text: str) -> str:
    return text if len(text) <= _ERROR_WIDTH else text[: _ERROR_WIDTH - 3] + "..."


def duration(seconds: float | None) -> str:
    """Seconds in words: `42 s`, `12:05`, `3:12:05`, `2 d 3 h`."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole >= 86400:
        return f"{whole // 86400} d {whole % 86400 // 3600} h"
    minutes, hours = f"{whole // 60 % 60:02d}:{whole % 60:02d}", whole // 3600
    return f"{hours}:{minutes}" if hours else minutes.removeprefix("0")
