"""What a run directory says: its files read into plain values. Absent or broken files are noted, never fatal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segexp.functional.references import follow

Series = dict[str, list[tuple[float, float]]]  # name -> (step, value), steps ascending


@dataclass(frozen=True)
class RunRecord:
    """The files of one run.

    Args:
        path: the run directory.
        status, manifest, result: the JSON objects, empty where a file is absent.
        config: leaves of `config.yaml` by dotted key; references to other keys are followed, those to the environment
            stay as written (they may be secrets).
        command: `overrides.txt`.
        series: logged values by name, from `metrics.jsonl`, else the curves of `result.json`.
        per_image: the first record of each image id.
        images: the pictures in `images/`, by name.
        shown: why each of them is there, `images/index.json`: split -> `first`, `worst`, `best` -> names.
        confusion: split -> {classes, counts}, of `confusion.json`.
        traceback: `traceback.txt`.
        notes: what is absent or can't be read, a line each.
    """

    path: Path
    status: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    series: Series = field(default_factory=dict)
    per_image: dict[str, dict[str, Any]] = field(default_factory=dict)
    images: tuple[Path, ...] = ()
    shown: dict[str, Any] = field(default_factory=dict)
    confusion: dict[str, Any] = field(default_factory=dict)
    traceback: str = ""
    notes: tuple[str, ...] = ()


def read_run(run: Path) -> RunRecord:
    """Read a run directory, finished or not.

    Args:
        run: the directory; any of its files may be missing or cut off.
    """
    run, notes = Path(run), []
    result = _object(run / "result.json", notes)
    series = _series(run / "metrics.jsonl", notes)
    return RunRecord(
        path=run,
        status=_object(run / "status.json", notes),
        manifest=_object(run / "manifest.json", notes),
        result=result,
        config=_config(run / "config.yaml", notes) or flatten(result.get("config")),
        command=_text(run / "overrides.txt").strip(),
        series=series or _curves(result.get("curves")),
        per_image=_per_image(run / "per_image.jsonl", notes),
        images=tuple(sorted((run / "images").glob("*.png"))),
        shown=_optional(run / "images" / "index.json", notes),
        confusion=_optional(run / "confusion.json", notes),
        traceback=_text(run / "traceback.txt").strip(),
        notes=tuple(notes),
    )


def settings(leaves: dict[str, Any]) -> dict[str, Any]:
    """The leaves of a config that `result.json` keeps: neither where things are nor who is told."""
    return {key: value for key, value in leaves.items() if not key.startswith(("paths.", "logger."))}


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested containers by dotted key; lists of plain values are leaves."""
    if isinstance(value, dict) and value:
        pairs = value.items()
    elif isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
        pairs = enumerate(value)
    else:
        return {prefix: value} if prefix else {}
    leaves: dict[str, Any] = {}
    for key, item in pairs:
        leaves |= flatten(item, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def number(value: Any) -> float | None:
    """`value` where it is a finite number, else None."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if plain and math.isfinite(value) else None


def section(value: Any) -> dict[str, Any]:
    """`value` where it is a dict, else an empty one: files of other versions must not crash a page."""
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _object(path: Path, notes: list[str]) -> dict[str, Any]:
    if not path.is_file():
        notes.append(f"{path.name} is absent")
        return {}
    try:
        found = json.loads(_text(path))
    except ValueError as error:
        notes.append(f"{path.name} can't be read: {error}")
        return {}
    return section(found)


def _optional(path: Path, notes: list[str]) -> dict[str, Any]:
    """The object of a file that runs of earlier versions and other tasks don't have."""
    return _object(path, notes) if path.is_file() else {}


def _lines(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """The records of a JSON-lines file; a line cut off by a kill is skipped and noted."""
    if not path.is_file():
        notes.append(f"{path.name} is absent")
        return
    broken = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                yield section(json.loads(line))
            except ValueError:
                broken += bool(line.strip())
    if broken:
        notes.append(f"{path.name}: {broken} {'line' if broken == 1 else 'lines'} can't be read")


def _series(path: Path, notes: list[str]) -> Series:
    found: dict[str, dict[float, float]] = {}
    for record in _lines(path, notes):
        step, value = number(record.get("step")), number(record.get("value"))
        if step is not None and value is not None:
            found.setdefault(str(record.get("name")), {})[step] = value
    return {name: sorted(points.items()) for name, points in found.items()}


def _curves(curves: Any) -> Series:
    """The curves of `result.json`, pairs of step and value."""
    found = {}
    for name, points in section(curves).items():
        pairs = [p for p in points if isinstance(p, list) and len(p) == 2] if isinstance(points, list) else []
        found[name] = sorted((float(s), float(v)) for s, v in pairs if number(s) is not None and number(v) is not None)
    return {name: points for name, points in found.items() if points}


def _per_image(path: Path, notes: list[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for record in _lines(path, notes):
        if "id" in record:
            found.setdefault(str(record["id"]), record)
    return found


def _config(path: Path, notes: list[str]) -> dict[str, Any]:
    from omegaconf import OmegaConf

    if not path.is_file():
        notes.append(f"{path.name} is absent")
        return {}
    try:
        leaves = flatten(OmegaConf.to_container(OmegaConf.load(path), resolve=False))
    except Exception as error:  # yaml and omegaconf raise many kinds
        notes.append(f"{path.name} can't be read: {str(error).splitlines()[0]}")
        return {}
    return {key: follow(value, leaves) for key, value in leaves.items()}
