"""The images on which settings can be compared: those that all of their runs have seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from segexp.statistics.board import Entry
from segexp.statistics.records import FinishedRun, image_ids


class Common(NamedTuple):
    """What can be compared.

    Args:
        entries: the settings.
        images: ids of the images that all their runs have, in the order of the weights.
        exact: the runs that have no others.
        notes: what was left out, and why.
    """

    entries: list[Entry]
    images: tuple[str, ...]
    exact: frozenset[Path]
    notes: list[str]


def common(entries: Sequence[Entry], runs: Mapping[Path, FinishedRun], split: str) -> Common:
    """The settings of one data set that have records of single images, and the images that all of them have.

    A setting with less than half of the images that another has is left out, rather than that it takes them from all.

    Args:
        entries: best first.
        runs: of the entries, by directory.
        split: such as `val`.
    """
    notes: list[str] = []
    chosen = _of_one_data_set(entries, runs, notes)
    ids = {path: image_ids(path, split) for entry in chosen for path in entry.runs}
    most = max((len(found) for found in ids.values()), default=0)
    few = [entry for entry in chosen if any(2 * len(ids[path]) < most or not ids[path] for path in entry.runs)]
    if few:
        notes.append(f"not compared, since records of {split} images are missing (per_image.jsonl): {listed(few)}")
        chosen = [entry for entry in chosen if entry not in few]
    sets = {path: ids[path] for entry in chosen for path in entry.runs}
    shared = set.intersection(*map(set, sets.values())) if sets else set()
    exact = frozenset(path for path, found in sets.items() if len(found) == len(shared))
    if len(exact) < len(sets):
        notes.append(f"not all runs have the same images: intervals and differences rest on the {len(shared)} that all have")
    images = tuple(image for image in next(iter(sets.values()), ()) if image in shared)
    return Common(chosen, images, exact, notes)


def _of_one_data_set(entries: Sequence[Entry], runs: Mapping[Path, FinishedRun], notes: list[str]) -> list[Entry]:
    """The entries whose data are those of most."""
    prints = [{str(runs[path].manifest.get("data")) for path in entry.runs} for entry in entries]
    times = Counter(next(iter(found)) for found in prints if len(found) == 1)
    usual = {max(times, key=lambda name: times[name])} if times else set()
    chosen = [entry for entry, found in zip(entries, prints, strict=True) if found == usual]
    if others := [entry for entry in entries if entry not in chosen]:
        notes.append(f"not compared, since its data aren't those of the others, or its manifest.json can't be read: {listed(others)}")
    return chosen


def listed(entries: Sequence[Entry]) -> str:
    """The labels of a few entries, and how many more there are."""
    return ", ".join(entry.label for entry in entries[:4]) + (f" and {len(entries) - 4} more" if len(entries) > 4 else "")
