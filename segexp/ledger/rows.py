"""The ledger of runs: what their folders say in short, read so that ten thousand of them take seconds.

Of a run that is done, `status.json`, `manifest.json` and `result.json` are read, and of these only the parts that are shown;
of others the newest records of checkpoints as well. No YAML, no metrics; a broken file is told in its row and ends nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segexp.runs.directory import RUN, STATES
from segexp.runs.find import run_folders
from segexp.runs.lock import is_held

INTERRUPTED = "interrupted"  # it says "running", and nobody has it
BROKEN = "broken"  # its status can't be read
SHOWN = (*STATES, INTERRUPTED, BROKEN)

_LONG = (b"config", b"curves")  # of a result: more than all the rest, and not shown
_FACT = re.compile(rb'^ "(id|started|hostname|steps)": ("(?:[^"\\]|\\.)*"|\d+)', re.MULTILINE)  # top-level entries as we write them
_MONITOR = re.compile(r"^monitor: *([^\s#]+)", re.MULTILINE)


@dataclass
class Row:
    """One run.

    Args:
        path: its directory.
        id, name, slug: `<outputs>/<name>/<slug>-<id>`.
        state: one of `SHOWN`.
        step, steps: optimizer steps done and planned; the latter is None where nobody knows.
        monitor, value: the monitored figure and its best value.
        when: of the last change of its state, ISO 8601 in UTC.
        seconds: from its beginning to then; to now if it runs.
        host: where it ran.
        attempts: how many there were.
        error: of what it failed, in short.
        figures: the numbers of the result by name, such as `val/miou`.
        notes: what can't be read.
    """

    path: Path
    id: str
    name: str
    slug: str
    state: str = "pending"
    step: int = 0
    steps: int | None = None
    monitor: str | None = None
    value: float | None = None
    when: str = ""
    seconds: float | None = None
    host: str = ""
    attempts: int = 1
    error: str = ""
    figures: dict[str, float | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**vars(self), "path": str(self.path)}


def rows(folder: Path) -> Iterator[Row]:
    """A row for each run of a folder (see `run_folders`)."""
    return map(row, run_folders(folder))


def row(path: Path) -> Row:
    """What a run's folder says in short."""
    match = RUN.fullmatch(path.name)
    run_id = match[1] if match else ""
    found = Row(path, run_id, path.parent.name, path.name.removesuffix(run_id).rstrip("-"))
    _status(found)
    _manifest(found)
    _result(found)
    if found.state != "done":
        _checkpoints(found)
    if found.notes and not found.error:
        found.error = "; ".join(found.notes)
    return found


def _status(found: Row) -> None:
    path = found.path / "status.json"
    try:
        with path.open("rb") as file:
            status, changed = json.load(file), os.fstat(file.fileno()).st_mtime
        found.state, found.step, found.attempts = str(status["state"]), int(status["step"]), int(status["attempt"])
        error = status.get("error") or {}
        found.error = " ".join(f"{error.get('code', '')}: {error.get('what', '')}".split()) if error else ""
        found.when = datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds")
    except FileNotFoundError:  # as `RunDirectory.read_status` has it
        found.state = "running" if (found.path / "manifest.json").exists() else "pending"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found.state = BROKEN
        found.notes.append(f"status.json can't be read ({type(error).__name__})")
    if found.state == "running" and not is_held(found.path / "lock"):
        found.state = INTERRUPTED


def _manifest(found: Row) -> None:
    """Started when, and where; by a search for the lines, because a patch within makes some manifests long."""
    try:
        data = (found.path / "manifest.json").read_bytes()
    except OSError:
        return
    facts = {key.decode(): json.loads(value) for key, value in _FACT.findall(data)}
    if not data.rstrip().endswith(b"}") or "started" not in facts:
        found.notes.append("manifest.json can't be read")
    found.host, found.steps = facts.get("hostname", ""), facts.get("steps")
    found.seconds = _between(facts.get("started"), None if found.state == "running" else found.when)
    found.when = found.when or facts.get("started", "")


def _between(start: str | None, end: str | None) -> float | None:
    try:
        last = datetime.fromisoformat(end) if end else datetime.now(UTC)
        return max(0.0, (last - datetime.fromisoformat(start)).total_seconds()) if start else None
    except (ValueError, TypeError):
        return None


def _result(found: Row) -> None:
    try:
        result = _light((found.path / "result.json").read_bytes())
    except FileNotFoundError:
        if found.state == "done":
            found.notes.append("result.json is gone")
        return
    except (OSError, ValueError) as error:
        found.notes.append(f"result.json can't be read ({type(error).__name__})")
        return
    splits = {name: part for name, part in result.items() if name in ("val", "test") and isinstance(part, dict)}
    found.figures = {f"{name}/{key}": value for name, part in splits.items() for key, value in part.items() if _is_number(value)}
    found.monitor = result.get("monitor")
    best = result.get("best") or {}
    found.value = best.get("score") if _is_number(best.get("score")) else found.figures.get(found.monitor or "")
    found.steps = result.get("steps", found.steps)


def _light(data: bytes) -> dict[str, Any]:
    """A result without its config and curves.

    Raises:
        ValueError: it isn't a JSON object.
    """
    for key in _LONG:
        begin = data.find(b'\n "' + key + b'": {\n')
        end = data.find(b"\n }", begin) if begin >= 0 else -1
        if end >= 0:
            data = data[:begin] + b'\n "' + key + b'": {' + data[end:]
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _checkpoints(found: Row) -> None:
    """The best score so far, from the record that `BEST` names; its name from the first lines of the config's text."""
    folder = found.path / "checkpoints"
    try:
        best = json.loads((folder / f"{(folder / 'BEST').read_text().strip()}.json").read_bytes())
        found.value = best.get("score") if found.value is None else found.value
        if found.monitor is None and (named := _MONITOR.search((found.path / "config.yaml").read_text(errors="replace"))):
            found.monitor = named[1]
    except (OSError, ValueError, AttributeError):  # none yet
        return
