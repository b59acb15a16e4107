"""Intervals of the settings of a board, and of the differences between them, on the same images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segexp.errors import SegexpError
from segexp.functional.bootstrap import FEW_IMAGES, FEW_SEEDS, Resamples, Sampled, holm, interval, sampled
from segexp.statistics.board import Entry, Leaderboard, Pair
from segexp.statistics.figures import figure_of, owner, whole
from segexp.statistics.images import Common, common
from segexp.statistics.records import FinishedRun

ALPHA = 0.05
FEWEST_IMAGES = 5
_SAME = 1e-6  # how far a figure may be from what its own records give


class Draws(NamedTuple):
    """How much is drawn.

    Args:
        resamples: R.
        seed: of the draws.
        top: how many of the best settings get an interval.
    """

    resamples: int
    seed: int
    top: int


def compared(board: Leaderboard, runs: Mapping[Path, FinishedRun], draws: Draws) -> Leaderboard:
    """A board with the intervals of its best entries and the pairs of them; what stands in the way becomes a note.

    Args:
        board: sorted entries.
        runs: of the entries, by directory.
        draws: how much is drawn.
    """
    found = common(board.entries[: draws.top], runs, board.figure.partition("/")[0])
    notes = [*board.notes, *found.notes]
    if len(board.entries) > draws.top:
        notes.append(f"intervals and comparisons are of the best {draws.top} of {len(board.entries)} settings")
    if len(found.images) < FEWEST_IMAGES:
        notes += [f"no intervals: {len(found.images)} images are too few"] if found.entries else []
        return replace(board, notes=tuple(notes))
    count = min(draws.resamples, *(_allowed(runs[path], board.figure, draws.resamples) for entry in found.entries for path in entry.runs))
    movements = _movements(board, runs, found, Resamples(len(found.images), count, draws.seed), notes)
    notes += _warnings(list(movements.values()), len(found.images), count, draws.resamples)
    entries = tuple(_with_interval(entry, movements.get(place)) for place, entry in enumerate(board.entries))
    pairs = _pairs(movements, higher_is_better=board.higher_is_better)
    return replace(board, entries=entries, pairs=pairs, images=len(found.images), notes=tuple(notes))


def _allowed(run: FinishedRun, figure: str, wanted: int) -> int:
    """The resamples that a run's metric allows."""
    try:
        return getattr(owner(run, figure)[1], "resamples", wanted)
    except SegexpError:  # said where its records are read
        return wanted


def _movements(
    board: Leaderboard, runs: Mapping[Path, FinishedRun], found: Common, resamples: Resamples, notes: list[str]
) -> dict[int, Sampled]:
    """How each setting's figure moves, by its place on the board."""
    movements = {}
    for place, entry in enumerate(board.entries):
        if entry in found.entries:
            try:
                movements[place] = _moved(entry, runs, board.figure, found, resamples, resamples.seed + 1 + place)
            except SegexpError as error:
                notes.append(f"not compared: {entry.label}: {error.what}, {error.where}")
    return movements


def _moved(entry: Entry, runs: Mapping[Path, FinishedRun], figure: str, found: Common, resamples: Resamples, seed: int) -> Sampled:
    """One run at a time, so that the records of one are in memory."""
    values, moved = [], []
    for path, written in zip(entry.runs, entry.values, strict=True):
        made = figure_of(runs[path], figure, found.images)
        value = whole(made, len(found.images))
        if path in found.exact and not abs(value - written) <= _SAME * max(1, abs(written)):
            what = f"its images give {value:.6g}, its result.json says {written:.6g}"
            raise SegexpError(what, where=str(path), fix="run.again=true runs it anew")
        values.append(value)
        moved.append(resamples.of(made))
    return sampled(values, np.stack(moved), len(found.images), seed)


def _with_interval(entry: Entry, found: Sampled | None) -> Entry:
    if found is None:
        return entry
    _, low, high, _ = interval(found)
    if math.isnan(low):
        return entry
    offset = entry.mean - found.estimate  # of the images that not all runs have
    return replace(entry, low=low + offset, high=high + offset)


def _pairs(found: Mapping[int, Sampled], *, higher_is_better: bool) -> tuple[Pair, ...]:
    places = list(combinations(sorted(found), 2))
    asked = [interval(found[a], found[b]) for a, b in places]
    corrected = holm([one.p for one in asked])
    sign = 1 if higher_is_better else -1
    return tuple(
        Pair(a, b, one.estimate, one.low, one.high, one.p, float(p), supported=bool(p < ALPHA and sign * one.estimate > 0))
        for (a, b), one, p in zip(places, asked, corrected, strict=True)
    )


def _warnings(found: Sequence[Sampled], images: int, count: int, wanted: int) -> list[str]:
    notes = []
    if images < FEW_IMAGES:
        notes.append(f"only {images} images: intervals are widened, and still rough below {FEW_IMAGES}")
    seeds = {one.seeds for one in found}
    if seeds and min(seeds) < FEW_SEEDS:
        which = "no setting has" if max(seeds) < FEW_SEEDS else "not all settings have"
        notes.append(
            f"{which} {FEW_SEEDS} seeds: without them an interval tells what other images would do, not what another training would"
        )
    if count < wanted:
        notes.append(f"{count:,} resamples instead of {wanted:,}: the figure isn't a sum over images")
    return notes
