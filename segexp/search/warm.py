"""What the first trials of a search are given: lines of overrides, or the best runs of another sweep."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from segexp.errors import ConfigError, SegexpError
from segexp.functional.files import read_json
from segexp.search.settings import Settings, value_of
from segexp.search.space import Dimension

BEST = 5  # runs of another sweep


def first_values(wanted: Settings, dimensions: Sequence[Dimension]) -> list[dict[str, Any]]:
    """Values by parameter, one mapping for each of the first trials; what it leaves out is drawn.

    Raises:
        ConfigError: a line names what isn't drawn or a value that may not be, or the folder isn't a sweep's.
    """
    if wanted.warm is None:
        return []
    if isinstance(wanted.warm, str):
        rows = _best(Path(wanted.warm).expanduser(), wanted)
        found = [_values(row, dimensions) for row in rows]
        return [values for index, values in enumerate(found) if values and values not in found[:index]][:BEST]
    return [_strict(line, dimensions) for line in wanted.warm]


def _values(overrides: Sequence[str], dimensions: Sequence[Dimension]) -> dict[str, Any]:
    given = dict(text.lstrip("+").split("=", 1) for text in overrides if "=" in text)
    found = {d.name: d.parsed(given[key]) for d in dimensions if (key := d.key.lstrip("+")) in given}
    return {name: value for name, value in found.items() if value is not None}


def _strict(line: str, dimensions: Sequence[Dimension]) -> dict[str, Any]:
    texts = shlex.split(line)
    for text in texts:
        own = [d for d in dimensions if d.key.lstrip("+") == text.lstrip("+").partition("=")[0]]
        if not own or all(d.parsed(text.partition("=")[2]) is None for d in own):
            what = "what is tried first isn't among what is drawn" if own else "what is tried first isn't drawn at all"
            offered = ", ".join(d.key for d in dimensions) if not own else ", ".join(own[0].choices) or f"{own[0].low} to {own[0].high}"
            raise ConfigError(what, where=f"sweep.warm: {text}", fix=f"use {offered}")
    return _values(texts, dimensions)


def _best(folder: Path, wanted: Settings) -> list[list[str]]:
    """The overrides of another sweep's runs, the best by the first metric first."""
    record = folder / "sweep.json"
    if not record.is_file():
        raise ConfigError("this isn't the folder of a sweep", where=f"sweep.warm={folder}", fix="give one that holds a sweep.json")
    rows: list[Mapping[str, Any]] = [row for row in read_json(record)["jobs"] if row["state"] == "done" and row["path"]]
    scored = [(score, row["overrides"]) for row in rows if (score := _score(folder / row["path"], wanted)) is not None]
    return [overrides for _, overrides in sorted(scored, key=lambda pair: pair[0])]


def _score(run: Path, wanted: Settings) -> float | None:
    """Less is better."""
    with suppress(SegexpError, OSError, KeyError, TypeError, ValueError):
        value = float(value_of(read_json(Path(os.path.normpath(run)) / "result.json"), wanted.metrics[0]))
        if math.isfinite(value):
            return value if wanted.directions[0] == "minimize" else -value
    return None
