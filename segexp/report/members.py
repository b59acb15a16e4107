"""The runs of a folder in short: what a page needs of each when there are ten thousand of them."""

from __future__ import annotations

import json
import shlex
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segexp.errors import ConfigError
from segexp.functional.results import read_result
from segexp.report.record import number, section
from segexp.runs.directory import typed
from segexp.runs.find import SWEEP, run_folders

TAIL = 14  # lines of a log


@dataclass(frozen=True)
class Member:
    """One run, or one job of a sweep.

    Args:
        path: the run directory; None for a job whose config doesn't compose.
        state: as in `status.json`, for a job without one as in `sweep.json`.
        overrides: what was typed, without flags.
        command: to paste.
        step: of the status.
        error: of a run that failed: code, what, where, fix.
        log: the file that tells of its end.
        seconds, parameters, macs, memory: of `result.json`; memory in MiB, of the GPU where there was one.
        monitor: the figure that the run watched.
        pruned: the step at which a search stopped it.
        result: `result.json` without its curves, until the runs were compared.
    """

    path: Path | None
    state: str
    overrides: tuple[str, ...] = ()
    command: str = ""
    step: int | None = None
    error: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None
    seconds: float | None = None
    parameters: float | None = None
    macs: float | None = None
    memory: float | None = None
    monitor: str = ""
    pruned: int | None = None
    result: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The directory's name; of a job without one, its overrides."""
        return self.path.name if self.path else " ".join(self.overrides)


def members(folder: Path) -> list[Member]:
    """The jobs of a sweep folder, or the runs below a folder; each run once.

    Args:
        folder: one with `sweep.json`, an experiment's, or one that holds experiments.

    Raises:
        ConfigError: there is no run.
    """
    folder = Path(folder)
    found = _of_sweep(folder) if (folder / SWEEP).is_file() else [_member(path) for path in run_folders(folder)]
    if not found:
        fix = "give a run, the folder of a sweep, or a folder of runs"
        raise ConfigError("the folder holds no runs", where=str(folder), fix=fix)
    return found


def sweep_command(folder: Path) -> str:
    """The command of a sweep; empty of a folder that isn't one."""
    return str(section(_json(folder / SWEEP)).get("command") or "")


def tail(path: Path | None, lines: int = TAIL) -> list[str]:
    """The last lines of a text file that aren't empty; none where it can't be read."""
    if path is None:
        return []
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 20_000))
        text = file.read().decode(errors="replace")
        return list(deque((line.rstrip() for line in text.splitlines() if line.strip()), maxlen=lines))
    return []


def _of_sweep(folder: Path) -> list[Member]:
    rows, seen, found = section(_json(folder / SWEEP)).get("jobs"), set(), []
    for row in map(section, rows if isinstance(rows, list) else ()):
        place = (folder / str(row["path"])).resolve() if row.get("path") else None
        if place is not None and place in seen:
            continue
        seen.add(place)
        overrides = tuple(map(str, row.get("overrides") or ()))
        log = folder / str(row["log"]) if row.get("log") else None
        found.append(_member(place, overrides, log, section(row)))
    return found


def _member(path: Path | None, overrides: Sequence[str] = (), log: Path | None = None, row: Mapping[str, Any] | None = None) -> Member:
    """What the files of a run say of it; its row in `sweep.json` where they are silent."""
    row = row or {}
    status = section(_json(path / "status.json")) if path else {}
    state = str(status.get("state") or row.get("state") or "pending")
    result = section(_result(path / "result.json")) if path and state in ("done", "pruned", "running") else {}
    error = section(status.get("error")) or ({"code": row.get("cause") or "", "what": row["error"]} if row.get("error") else {})
    command = _command(path, overrides)
    speed, step = section(result.get("speed")), number(status.get("step"))
    memory = number(speed.get("peak_gpu_memory_mib")) or number(speed.get("peak_memory_mib"))
    return Member(
        path=path,
        state=state,
        overrides=tuple(overrides) or tuple(typed(command)),
        command=command,
        step=None if step is None else int(step),
        error={key: str(value) for key, value in error.items() if value},
        log=next((file for file in (path and path / "log.txt", log) if file and file.is_file()), None),
        seconds=number(result.get("seconds")),
        parameters=number(result.get("parameters")),
        macs=number(result.get("macs")),
        memory=memory,
        monitor=str(result.get("monitor") or ""),
        pruned=_pruned(state, result, status),
        result=result,
    )


def _pruned(state: str, result: Mapping[str, Any], status: Mapping[str, Any]) -> int | None:
    at = number(result.get("pruned")) or number(status.get("step"))
    return int(at or 0) if state == "pruned" else None


def _command(path: Path | None, overrides: Sequence[str]) -> str:
    """`overrides.txt`; of a job that was never started, the command of its overrides alone."""
    if path and (text := _text(path / "overrides.txt").strip()):
        return text
    return shlex.join(["segexp", "train", *overrides]) if overrides else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _json(path: Path) -> Any:
    """The content of a JSON file; None where it is absent or broken."""
    try:
        return json.loads(_text(path) or "null")
    except ValueError:
        return None


def _result(path: Path) -> Any:
    """A `result.json` without its curves; None where it is absent or broken."""
    with suppress(OSError, ValueError):
        return read_result(path)
    return None
