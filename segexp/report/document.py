"""What the script of a sweep's page works on: one plain JSON object, columns of numbers where there may be thousands."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segexp.report.charts import downsample
from segexp.report.common_pictures import MAX_RUNS, common_pictures
from segexp.report.importance import front, importance
from segexp.report.members import Member
from segexp.report.record import Series, number, read_run, section
from segexp.report.settings import label, told_apart
from segexp.statistics.board import Leaderboard

MAX_DETAILED = 240  # runs with curves and all their figures
MAX_UNFINISHED = 24  # of them, runs that aren't done
MAX_POINTS = 64
COSTS = ("parameters", "macs", "seconds", "memory")


def document(folder: Path, runs: Sequence[Member], board: Leaderboard | None) -> dict[str, Any]:
    """The page's data.

    Args:
        folder: the page's; addresses of runs are relative to it.
        runs: of the folder.
        board: their comparison; None where nothing is done.
    """
    by_path: dict[Path | None, int] = {run.path: place for place, run in enumerate(runs) if run.path}
    settings = _settings(runs, by_path, board) if board else []
    values = {place: value for row in settings for place, value in zip(row["runs"], row["values"], strict=True)}
    detailed = _detailed(runs, settings)
    pictured = [row["runs"][0] for row in settings if row["runs"]][:MAX_RUNS] or detailed[:MAX_RUNS]
    split = board.figure.partition("/")[0] if board else "val"
    pictures = common_pictures([runs[place].path or folder for place in pictured], split)
    return {
        "figure": board.figure if board else "",
        "higher": board.higher_is_better if board else True,
        "keys": list(settings[0]["keys"]) if settings else [],
        "settings": settings,
        "runs": [_run(folder, run, values.get(place)) for place, run in enumerate(runs)],
        "pairs": [_pair(board, pair) for pair in board.pairs] if board else [],
        "importance": _importance(settings),
        "details": _varying({place: _details(runs[place]) for place in detailed}),
        "pictures": {name: {pictured[place]: data for place, data in row.items()} for name, row in pictures.items()},
    }


def text(data: Mapping[str, Any]) -> str:
    """JSON that may stand inside a script element: no end tag, no comment, no number that isn't one."""
    plain = json.dumps(_finite(data), separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)
    return plain.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _settings(runs: Sequence[Member], by_path: Mapping[Path | None, int], board: Leaderboard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for entry, keys in zip(board.entries, told_apart(board.entries), strict=True):
        known = [(by_path[path], value) for path, value in zip(entry.runs, entry.values, strict=True) if path in by_path]
        mine = [runs[place] for place, _ in known]
        found.append(
            {"keys": keys, "label": label(keys), "mean": entry.mean, "sd": entry.sd, "low": entry.low, "high": entry.high}
            | {"runs": [place for place, _ in known], "values": [value for _, value in known], "seeds": list(entry.seeds)}
            | {name: _mean(getattr(run, name) for run in mine) for name in COSTS}
        )
    for name in COSTS:
        on = front([row[name] for row in found], [row["mean"] for row in found], higher_is_better=board.higher_is_better)
        for row, is_on in zip(found, on, strict=True):
            row.setdefault("front", []).extend([name] if is_on else [])
    return found


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _run(folder: Path, run: Member, value: float | None) -> dict[str, Any]:
    known = {"value": value, "seconds": run.seconds, "memory": run.memory, "step": run.step, "command": run.command}
    if run.path:
        known["at"] = os.path.relpath(run.path, folder)
    return {"name": run.name, "state": run.state} | {key: item for key, item in known.items() if item not in (None, "")}


def _pair(board: Leaderboard, pair: Any) -> list[Any]:
    return [pair.a, pair.b, pair.difference, pair.low, pair.high, pair.p_holm, int(pair.supported)]


def _importance(settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of the single runs, so that what seeds do counts as what no key explains."""
    pairs = [(row["keys"], value) for row in settings for value in row["values"]]
    found = importance([keys for keys, _ in pairs], [value for _, value in pairs])
    return [{"key": one.key, "share": one.share, "groups": one.groups} for one in found]


def _detailed(runs: Sequence[Member], settings: Sequence[Mapping[str, Any]]) -> list[int]:
    """The runs with curves: those of the best settings, and some that aren't done."""
    done = [place for row in settings for place in row["runs"]]
    rest = [place for place, run in enumerate(runs) if run.path and run.state in ("running", "preempted", "failed", "killed", "pruned")]
    return [*done[: MAX_DETAILED - min(len(rest), MAX_UNFINISHED)], *rest[:MAX_UNFINISHED]]


def _details(run: Member) -> dict[str, Any]:
    """Figures and curves of one run; of one without a result, those of its `metrics.jsonl`."""
    path = run.path or Path()
    result = _result(path)
    series = _curves(result.get("curves")) if result else read_run(path).series
    figures = {f"{split}/{name}": value for split in ("val", "test") for name, value in section(result.get(split)).items()}
    curves = {
        name: downsample(points, MAX_POINTS)
        for name, points in series.items()
        if points and name.count("/") < 2 and not name.startswith("test/")
    }
    return {
        "figures": {name: number(value) for name, value in figures.items()},
        "curves": {name: [[step for step, _ in points], [value for _, value in points]] for name, points in curves.items()},
        "config": section(result.get("config")),
    }


def _varying(details: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Of the configs only the leaves that aren't the same in all."""
    keys = {key for one in details.values() for key in one["config"]}
    same = {key for key in keys if len({json.dumps(one["config"].get(key)) for one in details.values() if one["config"]}) < 2}
    return {
        place: one | {"config": {key: value for key, value in one["config"].items() if key not in same}} for place, one in details.items()
    }


def _result(path: Path) -> dict[str, Any]:
    try:
        return section(json.loads((path / "result.json").read_text()))
    except (OSError, ValueError):
        return {}


def _curves(curves: Any) -> Series:
    found = {name: [(number(p[0]), number(p[1])) for p in points if len(p) == 2] for name, points in section(curves).items()}
    return {name: [(s, v) for s, v in points if s is not None and v is not None] for name, points in found.items()}
