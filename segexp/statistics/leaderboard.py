"""Which setting is better, and is that sure? Worked out from the files of runs alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segexp.errors import ConfigError, SegexpError
from segexp.statistics.board import Entry, Leaderboard, Pair
from segexp.statistics.compare import Draws, compared
from segexp.statistics.figures import owner, rises
from segexp.statistics.records import FinishedRun, read_runs
from segexp.statistics.settings import settings

__all__ = ["Entry", "Leaderboard", "Pair", "leaderboard"]


def leaderboard(
    runs: Sequence[Path],
    *,
    figure: str | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    top: int = 20,
    results: Mapping[Path, dict[str, Any]] | None = None,
) -> Leaderboard:
    """Group runs into settings, and compare the settings on the same images.

    Args:
        runs: run directories; those that aren't done are counted in the notes.
        figure: such as `val/miou`; by default what most of the runs monitor.
        resamples: draws behind an interval; average precision takes 1,000 at most.
        seed: of the draws.
        top: how many of the best settings get an interval.
        results: `result.json` of runs that are done, where the caller has read them already.

    Raises:
        ConfigError: no run is done, or none has the figure.
    """
    done, others = read_runs(runs, results)
    notes = [_left_out(others, len(done))] if others else []
    if not done:
        raise ConfigError("no run is done yet, so there is nothing to compare", where=_left_out(others, 0), fix="wait, or see segexp runs")
    chosen = figure or _monitored(done, notes)
    having = [run for run in done if math.isfinite(run.value(chosen))]
    if not having:
        raise ConfigError(f"no run has the figure {chosen}", where=f"{len(done)} runs", fix=f"choose of {_choice(done)}")
    if len(having) < len(done):
        notes.append(f"{len(done) - len(having)} of {len(done)} finished runs have no {chosen}, or it isn't a number: left out")
    metric = _metric(next((run for run in having if run.manifest.get("spec")), having[0]), chosen, notes)
    higher = rises(chosen, metric)
    entries = sorted(settings(having, chosen), key=lambda entry: (-entry.mean if higher else entry.mean, entry.label))
    if twice := len(having) - sum(len(entry.runs) for entry in entries):
        notes.append(f"{twice} runs are there twice and count once")
    board = Leaderboard(chosen, higher, tuple(entries), notes=tuple(notes))
    return board if metric is None else compared(board, {run.path: run for run in having}, Draws(resamples, seed, top))


def _left_out(others: Mapping[str, int], done: int) -> str:
    listed = ", ".join(f"{count} {state}" for state, count in sorted(others.items()))
    total = done + sum(others.values())
    return f"{total - done} of {total} runs are left out: {listed}" if others else "no runs were given"


def _monitored(runs: Sequence[FinishedRun], notes: list[str]) -> str:
    """What most runs monitor."""
    names = Counter(run.result.get("monitor") or "val/loss" for run in runs)
    chosen = names.most_common(1)[0][0]
    if len(names) > 1:
        notes.append(f"compared by {chosen}; some runs monitor {', '.join(sorted(names.keys() - {chosen}))}")
    return chosen


def _metric(run: FinishedRun, figure: str, notes: list[str]) -> Any:
    """The metric that gives the figure; None of a loss, or where the run doesn't say enough: then there are no intervals."""
    if figure.partition("/")[2].partition("/")[0] == "loss":
        notes.append("no intervals: losses aren't recorded by image")
        return None
    try:
        return owner(run, figure)[1]
    except SegexpError as error:
        notes.append(f"no intervals: {error.what}, {error.where}")
        return None


def _choice(runs: Sequence[FinishedRun]) -> str:
    names = [f"{split}/{name}" for split in ("val", "test") for name in runs[0].result.get(split) or () if "/" not in name]
    return ", ".join(names[:12])
