"""Samples that are in a split twice, or in the training and in what measures it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segexp.errors import DataError

SHOWN = 5
FIX = "take them out of one of the lists, or data.allow_overlap=true if that is meant"


def refuse_overlap(train: tuple[Any, int], others: Mapping[str, tuple[Any, int]]) -> None:
    """Refuse a sample that comes twice; no file is read.

    Args:
        train: the split of the training, and how many of its samples are read.
        others: name -> the same of the splits that are evaluated.

    Raises:
        DataError: names the samples, and where they are.
    """
    known = _samples(*train, "train")
    for name, (split, length) in others.items():
        found = _samples(split, length, name)
        if both := [known[key] for key in found if key in known]:
            what = f"{len(both)} {'sample is' if len(both) == 1 else 'samples are'} in train and in {name}: {_some(both)}"
            raise DataError(what, where=_place(split, train[0]), fix=FIX)


def _samples(split: Any, length: int, name: str) -> dict[tuple[str, str], str]:
    """Picture and name within the split -> id. A picture file may hold several samples, a name may be in several folders."""
    found: dict[tuple[str, str], str] = {}
    ids: set[str] = set()
    twice = []
    for index in range(length):
        identifier = split.id(index) if hasattr(split, "id") else str(index)
        path = str(split.paths(index)[0]) if hasattr(split, "paths") else ""
        if identifier in ids:
            twice.append(identifier)
        ids.add(identifier)
        found[path, identifier.partition("/")[2] if path else identifier] = identifier
    if twice:
        raise DataError(f"{len(twice)} samples come twice in the split {name}: {_some(twice)}", where=_place(split), fix=FIX)
    return found


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:SHOWN]) + (f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else "")


def _place(*splits: Any) -> str:
    """The folders of the first pictures."""
    folders = [str(split.paths(0)[0].parent) for split in splits if hasattr(split, "paths")]
    return " and ".join(dict.fromkeys(folders)) or "data"
