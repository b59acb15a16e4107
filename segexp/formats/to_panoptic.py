"""From class maps and instance numbers, as people draw them, to segments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segexp.errors import DataError
from segexp.formats.loose import CROWD
from segexp.formats.loose import VOID as NOTHING
from segexp.functional.images import read_labels
from segexp.functional.names import MASKS

VOID = -1


class Segments(NamedTuple):
    """One image: `segments` int32 [H,W], 0 = void; `labels` int64 [S]; `crowd` bool [S]; `stray`: numbered pixels that are no thing."""

    segments: Tensor
    labels: Tensor
    crowd: Tensor
    stray: int


def read_classes(path: Path, classes: Mapping[int, int], void: frozenset[int]) -> np.ndarray:
    """A semantic mask as class ids int64 [H,W], -1 where void.

    Args:
        path: the mask; palette indices or grey values.
        classes: value -> class id.
        void: values without a label.

    Raises:
        DataError: unreadable, or a value that is neither a class nor void.
    """
    raw = read_labels(path).numpy()
    values, places = np.unique(raw, return_inverse=True)
    if strange := [value for value in values.tolist() if value not in classes and value not in void]:
        what = f"values that no class has: {strange[:8]}; known are {sorted(classes)} and void {sorted(void)}"
        raise DataError(what, where=str(path), fix="name them in --classes, or as --ignore=<value>,<value>")
    return np.array([classes.get(value, VOID) for value in values.tolist()], np.int64)[places].reshape(raw.shape)


def read_numbers(path: Path) -> np.ndarray:
    """Instance numbers int64 [H,W], 0 = none, of a PNG, or of a folder with a mask for each object, in the order of their names.

    Raises:
        DataError: unreadable; masks of one folder that differ in size, or overlap.
    """
    if not path.is_dir():
        return read_labels(path).numpy().astype(np.int64)
    found: np.ndarray | None = None
    parts = sorted(part for part in path.iterdir() if part.suffix.lower() in MASKS)
    for number, part in enumerate(parts, 1):
        mask = read_labels(part).numpy() > 0
        found = np.zeros(mask.shape, np.int64) if found is None else found
        if mask.shape != found.shape:
            raise DataError(f"a mask of {mask.shape}, the others are {found.shape}", where=str(part), fix="make the sizes equal")
        if (both := int((mask & (found > 0)).sum())) > 0:
            other = parts[int(found[mask].max()) - 1].name
            raise DataError(f"{both} pixels belong to {other}, too", where=str(part), fix="a pixel has one segment: mend the masks")
        found[mask] = number
    if found is None:
        raise DataError("the folder has no mask", where=str(path), fix="one PNG for each object")
    return found


def combined(classes: np.ndarray, numbers: np.ndarray | None, things: frozenset[int], *, loose: str = CROWD) -> Segments:
    """Segments: each class of stuff, and each pair of a thing's class and a number.

    Args:
        classes: class ids [H,W], -1 void.
        numbers: instance numbers [H,W], 0 = none; they may begin anew for each class. None: things have no numbers.
        things: class ids.
        loose: what the pixels of a thing without number become, one of `LOOSE`: `crowd` (one group), `void`, or `object` (one object).
    """
    thing = np.isin(classes, sorted(things))
    own = np.zeros_like(classes) if numbers is None else numbers
    inside = classes >= 0
    if loose == NOTHING:
        inside &= ~thing | (own > 0)
    span = int(own.max(initial=0)) + 1
    keys = np.where(inside, classes * span + np.where(thing, own, 0), VOID)
    values, places = np.unique(keys, return_inverse=True)
    places = places.reshape(keys.shape)
    first = int(len(values) > 0 and values[0] == VOID)
    kept = values[first:]
    labels, number = kept // span, kept % span
    crowd = np.isin(labels, sorted(things)) & (number == 0) & (loose == CROWD)
    segments = (places + 1 - first).astype(np.int32)
    stray = int(((own > 0) & ~thing).sum()) if numbers is not None else 0
    return Segments(torch.from_numpy(segments), torch.from_numpy(labels), torch.from_numpy(crowd), stray)
