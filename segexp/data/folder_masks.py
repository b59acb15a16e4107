"""What a user's masks hold: classes are found in them, and a coding that they contradict is refused."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segexp.data.folder_classes import EXAMPLE, FOUND, IGNORED, MOST, Coding, default_void, rgb, void_codes
from segexp.errors import ConfigError, DataError
from segexp.functional.images import holds_colors, read_colors, read_labels

FEW = 8  # so many values are taken for classes however rare they are
RARE = 1e-3  # share of the pixels
SAMPLE = 32  # masks that are held against classes that were given
CHUNK = 256  # masks that are read before it's asked whether more are needed


@dataclass(frozen=True)
class Look:
    """The values of one mask.

    Args:
        path: of the mask.
        counts: value -> pixels.
        mode: of the file as Pillow names it: `L`, `1`, `P`, ...; '' of an array.
        palette: value -> its colour, of a palette file.
    """

    path: Path
    counts: dict[int, int]
    mode: str
    palette: dict[int, int]


def found_coding(masks: Sequence[Path], ignore: Any) -> Coding:
    """The coding that masks show: each value or colour that occurs is a class.

    Where `ignore` is null and other values are 0, 1, ..., 255 is void; otherwise (a mask of 0 and 255) it is a class.
    Palette files whose palettes differ are read by their colours.

    Raises:
        ConfigError: there are no masks, too few values, or so many that the masks aren't label maps.
        DataError: a mask can't be read, or one value means two things.
    """
    if not masks:
        raise ConfigError("no masks to find classes in", where="data.classes=null", fix=EXAMPLE)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        colors = any(pool.map(holds_colors, masks))
        looks = [] if colors else list(pool.map(_look, masks))
        if differing := _differing(looks):
            colors = all(look.mode == "P" for look in looks)
            if not colors:
                raise differing
        counts: Counter[int] = Counter()
        for own in pool.map(_colors, masks) if colors else (look.counts for look in looks):
            counts.update(own)
    if not colors and IGNORED not in void_codes(ignore, colors=False):
        _check_bilevel(looks)
    found = sorted(counts)
    void = _void_found(found, ignore, colors)
    kept = [code for code in found if code not in void]
    _check_found(kept, counts, "colours" if colors else "values", masks)
    names = tuple("color {}-{}-{}".format(*rgb(code)) if colors else f"class {code}" for code in kept)
    return Coding(names, tuple((code,) for code in kept), tuple(code for code in found if code in void), colors, FOUND)


def check_coding(coding: Coding, masks: Sequence[Path], ignore: Any) -> None:
    """Hold a coding that was given against some of the masks; against all if a class isn't in these while 255 is.

    Masks that can't be read are left to whoever needs them.

    Raises:
        ConfigError: a class is in no mask while 255, void only by default, is.
        DataError: one value means two things.
    """
    if coding.colors or not masks:
        return
    looks = list(_readable(masks[:: -(-len(masks) // SAMPLE)]))
    if differing := _differing(looks):
        raise differing
    full = [look for look in looks if IGNORED in look.counts]
    if ignore is not None or IGNORED not in coding.void or not full:
        return
    _check_bilevel(looks)
    unseen = _unseen(coding.values, looks)
    for start in range(0, len(masks), CHUNK):
        if not unseen:
            return
        unseen &= _unseen(coding.values, list(_readable(masks[start : start + CHUNK])))
    if unseen:
        first = min(unseen)
        values = [IGNORED if i == first else value[0] if len(value) == 1 else list(value) for i, value in enumerate(coding.values)]
        written = ", ".join(f"{name}: {value}" for name, value in zip(coding.names, values, strict=True))
        what = f"class {coding.names[first]!r} ({coding.values[first][0]}) is in no mask, while {IGNORED} is, e.g. in {full[0].path.name}"
        fix = f"'data.classes={{{written}}}', or data.ignore=[{IGNORED}] if {IGNORED} is void"
        raise ConfigError(what, where=f"{full[0].path.parent}, {coding.source}", fix=fix)


def _look(path: Path) -> Look:
    raw = read_labels(path).numpy()
    values, pixels = np.unique(raw, return_counts=True) if raw.dtype != np.uint8 else _bytes(raw)
    counts = dict(zip(values.tolist(), pixels.tolist(), strict=True))
    if path.suffix.lower() == ".npy":
        return Look(path, counts, "", {})
    with Image.open(path) as image:
        mode, flat = image.mode, (image.getpalette("RGB") or []) if image.mode == "P" else []
    shades = {value: flat[3 * value : 3 * value + 3] for value in counts if 3 * value + 2 < len(flat)}
    return Look(path, counts, mode, {value: r << 16 | g << 8 | b for value, (r, g, b) in shades.items()})


def _bytes(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    counts = np.bincount(raw.ravel(), minlength=256)  # faster than sorting
    return counts.nonzero()[0], counts[counts > 0]


def _colors(path: Path) -> Counter[int]:
    values, pixels = np.unique(read_colors(path).numpy(), return_counts=True)
    return Counter(dict(zip(values.tolist(), pixels.tolist(), strict=True)))


def _readable(masks: Sequence[Path]) -> Iterator[Look]:
    def look(path: Path) -> Look | None:
        try:
            return _look(path)
        except DataError:
            return None

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        yield from filter(None, pool.map(look, masks))


def _unseen(values: Sequence[Sequence[int]], looks: Sequence[Look]) -> set[int]:
    """Classes none of whose values is in these masks."""
    seen = {value for look in looks for value in look.counts}
    return {i for i, group in enumerate(values) if seen.isdisjoint(group)}


def _differing(looks: Sequence[Look]) -> DataError | None:
    """What to say of two palette files in which one value has two colours."""
    known: dict[int, tuple[int, Path]] = {}
    for look in looks:
        for value, color in look.palette.items():
            other, path = known.setdefault(value, (color, look.path))
            if other != color:
                what = f"the palettes differ: {value} is {list(rgb(other))} in {path.name} and {list(rgb(color))} in {look.path.name}"
                fix = (
                    "save all with one palette or in grey, or give classes by colour: 'data.classes={background: [0,0,0], cell: [255,0,0]}'"
                )
                return DataError(what, where=str(look.path.parent), fix=fix)
    return None


def _check_bilevel(looks: Sequence[Look]) -> None:
    """Files of one bit say 1 where others of the same masks say 255."""
    ones = [look for look in looks if 1 in look.counts]
    full = [look for look in looks if IGNORED in look.counts]
    if ones and full and all(look.mode == "1" for look in ones):
        what = f"1 is only in masks of one bit ({ones[0].path.name}, ...), {IGNORED} only in others ({full[0].path.name}, ...)"
        fix = "save all alike, or say what they mean: 'data.classes={background: 0, cell: [1,255]}', or data.ignore=[255]"
        raise DataError(what, where=str(ones[0].path.parent), fix=fix)


def _check_found(kept: Sequence[int], counts: Counter[int], kind: str, masks: Sequence[Path]) -> None:
    where = str(masks[0].parent)
    if len(kept) < 2:
        raise ConfigError(f"the masks hold {len(kept)} of the {kind} that are a class", where=where, fix=EXAMPLE)
    rare = sum(counts[code] < RARE * counts.total() for code in kept)
    odd = len(kept) > FEW and 2 * rare > len(kept) and (kind == "colours" or list(kept) != list(range(len(kept))))
    if odd or len(kept) > MOST:
        what = f"{len(kept)} {kind} in {len(masks)} masks, {rare} of them in less than 0.1 % of the pixels: they were smoothed"
        raise ConfigError(what, where=where, fix=f"save them anew without, or say which {kind} are classes: {EXAMPLE}")


def _void_found(found: Sequence[int], ignore: Any, colors: bool) -> tuple[int, ...]:
    if ignore is not None:
        return void_codes(ignore, colors)
    others = [code for code in found if code != IGNORED]
    if colors or len(others) < 2 or others != list(range(len(others))):
        return ()
    return default_void([others], colors)
