"""What runs have written: `result.json` of each, and of some the records of single images."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from segexp.errors import SegexpError
from segexp.functional.files import read_json
from segexp.runs.directory import RunDirectory, typed

BROKEN = (ValueError, KeyError, IndexError, TypeError)  # what reading a file raises that somebody or another version has written
_HEAD = re.compile(r'{"id": ("(?:[^"\\]|\\.)*"), "split": "(\w+)"')  # as the records are written


@dataclass(frozen=True)
class FinishedRun:
    """A run that is done: its directory and its `result.json`."""

    path: Path
    result: dict[str, Any] = field(repr=False)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The leaves of its config."""
        return self.result.get("config") or {}

    @property
    def seed(self) -> int:
        return self.config.get("seed") or 0

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Empty where there is none, or a broken one: the run is then compared with no other, and the others go on."""
        with suppress(SegexpError, OSError):
            found = read_json(self.path / "manifest.json")
            return found if isinstance(found, dict) else {}
        return {}

    @cached_property
    def overrides(self) -> tuple[str, ...]:
        """What was typed for it, without the command and its flags; nothing where that can't be read."""
        with suppress(OSError, ValueError):
            return tuple(typed((self.path / "overrides.txt").read_text(encoding="utf-8")))
        return ()

    def value(self, figure: str) -> float:
        """A figure such as `val/miou`; NaN where the run has none."""
        split, _, name = figure.partition("/")
        value = (self.result.get(split) or {}).get(name)
        return float("nan") if value is None else float(value)


def read_runs(runs: Sequence[Path], results: Mapping[Path, dict[str, Any]] | None = None) -> tuple[list[FinishedRun], dict[str, int]]:
    """The runs that are done, each directory once, and how many of the others are in which state.

    Args:
        runs: directories.
        results: the `result.json` of those that somebody has read already and found done.
    """
    done, others = [], {}
    for path in dict.fromkeys(Path(run) for run in runs):
        state, result = ("done", results[path]) if results and path in results else _read(path)
        if result is None:
            others[state] = others.get(state, 0) + 1
        else:
            done.append(FinishedRun(path, result))
    return done, others


def _read(path: Path) -> tuple[str, dict[str, Any] | None]:
    directory = RunDirectory(path)
    try:
        state = directory.state()
        result = directory.result() if state == "done" else None
    except (SegexpError, OSError):
        return "unreadable", None
    if state == "done" and not isinstance(result, dict):
        return "without a result", None
    if result is not None:
        result.pop("curves", None)  # they take most of the memory
    return state, result


def image_ids(run: Path, split: str) -> tuple[str, ...]:
    """The images of a split in `per_image.jsonl`, in its order; none where there is no such file, or a broken one."""
    path = run / "per_image.jsonl"
    if not path.is_file():
        return ()
    try:
        with path.open(encoding="utf-8") as file:
            heads = [_head(line) for line in file if line.strip()]
    except BROKEN:
        return ()
    return tuple(dict.fromkeys(identifier for identifier, of in heads if of == split))


def image_records(run: Path, split: str, metric: str) -> dict[str, dict[str, Any]]:
    """What a metric knows of each image of a split: id -> statistic -> plain numbers and lists.

    Raises:
        ValueError, KeyError, TypeError: the file is broken.
    """
    found: dict[str, dict[str, Any]] = {}
    with (run / "per_image.jsonl").open(encoding="utf-8") as file:
        for line in file:
            if line.strip() and _head(line)[1] == split:
                record = json.loads(line)
                if metric in record:
                    found.setdefault(record["id"], record[metric])
    return found


def _head(line: str) -> tuple[str, str]:
    """Id and split of a record, without reading all of it where it is written as usual."""
    match = _HEAD.match(line)
    if match:
        return json.loads(match[1]), match[2]
    record = json.loads(line)
    return record["id"], record["split"]
