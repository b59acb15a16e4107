"""The classes of a user's masks: named by the config or a file, or found in the masks."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segexp.data.palette import voc_color
from segexp.errors import ConfigError
from segexp.functional.images import holds_colors, read_colors, read_labels
from segexp.types import ClassInfo

IGNORED = 255  # void by convention, where it isn't a class
MOST = 254  # classes
FEW = 8  # so many values are taken for classes however rare they are
RARE = 1e-3  # share of the pixels
EXAMPLE = "'data.classes={background: 0, cell: 1}' or {background: [0,0,0], cell: [255,0,0]}"


@dataclass(frozen=True)
class Coding:
    """How classes are written in masks; colours as R * 65536 + G * 256 + B.

    Args:
        names: of the classes.
        values: of each class, one or several.
        void: values of pixels without a label.
        colors: are the values colours?
        source: where it comes from, for people.
    """

    names: tuple[str, ...]
    values: tuple[tuple[int, ...], ...]
    void: tuple[int, ...]
    colors: bool
    source: str

    def infos(self) -> tuple[ClassInfo, ...]:
        """The classes with colours to show them in: their own, unless these are grey levels, which can't be told apart."""
        own = [_rgb(value[0]) for value in self.values]
        grey = not self.colors or all(len(set(rgb)) == 1 for rgb in own)
        shown = [voc_color(i) for i in range(len(own))] if grey else own
        return tuple(ClassInfo(name, False, color) for name, color in zip(self.names, shown, strict=True))

    def shown(self, value: int) -> str:
        """A value as a config has it."""
        return "[{},{},{}]".format(*_rgb(value)) if self.colors else str(value)


def given_coding(classes: Mapping[str, Any], ignore: Sequence[Any] | None, source: str) -> Coding:
    """The coding that a config or a file spells out.

    Each class has a value, a colour [R,G,B], or a list of either. Where every class has a list of three, or a list of such
    lists, they are colours.

    Raises:
        ConfigError: a value can't be understood, stands twice, or there are too many.
    """
    if not 2 <= len(classes) <= MOST:
        raise ConfigError(f"{len(classes)} classes", where=source, fix=f"give 2 to {MOST}: {EXAMPLE}")
    colors = all(_is_color(v) or (isinstance(v, (list, tuple)) and v and all(map(_is_color, v))) for v in classes.values())
    values = tuple(_codes(value, colors, f"{source}, class {name!r}") for name, value in classes.items())
    void = _void(values, ignore, colors)
    codes = [code for group in values for code in group]
    if twice := sorted({code for code in codes if codes.count(code) > 1 or code in void}):
        shown = _rgb(twice[0]) if colors else twice[0]
        raise ConfigError(f"{shown} has two meanings", where=source, fix="give each value to one class, or to data.ignore")
    return Coding(tuple(map(str, classes)), values, void, colors, source)


def file_coding(root: Path, ignore: Sequence[Any] | None) -> Coding | None:
    """The coding of `classes.json` or `classes.txt`; None where there is neither.

    JSON: {name: value, colour, or list of either}, or a list of names, whose values are 0, 1, ... Text: a name a line, or
    `name: value` or `name: R,G,B` a line.

    Raises:
        ConfigError: the file can't be understood.
    """
    if (file := root / "classes.json").is_file():
        try:
            classes = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"not JSON ({error})", where=str(file), fix="mend it, or give data.classes") from None
    elif (file := root / "classes.txt").is_file():
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        classes = lines
        if any(":" in line for line in lines):
            classes = {name.strip(): _line_value(value, file, line) for line in lines for name, _, value in [line.rpartition(":")]}
    else:
        return None
    if isinstance(classes, list) and all(isinstance(name, str) for name in classes) and len(set(classes)) == len(classes):
        classes = {name: value for value, name in enumerate(classes)}
    if not isinstance(classes, dict):
        fix = '{"background": 0, "cell": 1}, or ["background", "cell"], each name once'
        raise ConfigError("classes can't be understood", where=str(file), fix=fix)
    return given_coding(classes, ignore, str(file))


def found_coding(masks: Sequence[Path], ignore: Sequence[Any] | None) -> Coding:
    """The coding that masks show: each value or colour that occurs is a class.

    Where `ignore` is null and other values are 0, 1, ..., 255 is void; otherwise (a mask of 0 and 255) it is a class.

    Raises:
        ConfigError: there are no masks, too few values, or so many that the masks aren't label maps.
        DataError: a mask can't be read.
    """
    if not masks:
        raise ConfigError("no masks to find classes in", where="data.classes=null", fix=EXAMPLE)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        colors = any(pool.map(holds_colors, masks))
        counts: dict[int, int] = {}
        for codes, pixels in pool.map(_count_colors if colors else _count_values, masks):
            for code, number in zip(codes.tolist(), pixels.tolist(), strict=True):
                counts[code] = counts.get(code, 0) + number
    found = sorted(counts)
    void = _void_found(found, ignore, colors)
    kept = [code for code in found if code not in void]
    where, kind = str(masks[0].parent), "colours" if colors else "values"
    if len(kept) < 2:
        raise ConfigError(f"the masks hold {len(kept)} of the {kind} that are a class", where=where, fix=EXAMPLE)
    rare = sum(counts[code] < RARE * sum(counts.values()) for code in kept)
    odd = len(kept) > FEW and 2 * rare > len(kept) and (colors or kept != list(range(len(kept))))
    if odd or len(kept) > MOST:
        what = f"{len(kept)} {kind} in {len(masks)} masks, {rare} of them in less than 0.1 % of the pixels: they were smoothed"
        raise ConfigError(what, where=where, fix=f"save them anew without, or say which {kind} are classes: {EXAMPLE}")
    names = tuple("color {}-{}-{}".format(*_rgb(code)) if colors else f"class {code}" for code in kept)
    return Coding(names, tuple((code,) for code in kept), tuple(code for code in found if code in void), colors, "found in the masks")


def _count_values(path: Path) -> tuple[np.ndarray, np.ndarray]:
    raw = read_labels(path).numpy()
    if raw.dtype != np.uint8:
        return np.unique(raw, return_counts=True)
    counts = np.bincount(raw.ravel(), minlength=256)
    return counts.nonzero()[0], counts[counts > 0]


def _count_colors(path: Path) -> tuple[np.ndarray, np.ndarray]:
    return np.unique(read_colors(path).numpy(), return_counts=True)


def _void(values: Sequence[Sequence[int]], ignore: Sequence[Any] | None, colors: bool) -> tuple[int, ...]:
    if ignore is not None:
        return _codes(ignore, colors, "data.ignore") if ignore else ()
    return () if colors or any(IGNORED in group for group in values) else (IGNORED,)


def _void_found(found: Sequence[int], ignore: Sequence[Any] | None, colors: bool) -> tuple[int, ...]:
    others = [code for code in found if code != IGNORED]
    if ignore is None and (colors or len(others) < 2 or others != list(range(len(others)))):
        return ()
    return _void([others], ignore, colors)


def _is_color(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 3 and all(isinstance(part, int) and 0 <= part <= 255 for part in value)


def _codes(value: Any, colors: bool, where: str) -> tuple[int, ...]:
    """One value or colour, or several, as integers."""
    several = value if isinstance(value, (list, tuple)) and not (colors and _is_color(value)) else [value]
    good = [v for v in several if (_is_color(v) if colors else type(v) is int and 0 <= v <= 65535)]
    if not several or len(good) < len(several):
        fix = f"a value 0..65535, a colour [R,G,B], or a list of either, and the same kind for all: {EXAMPLE}"
        raise ConfigError(f"{value!r} is no {'colour' if colors else 'value'}", where=where, fix=fix)
    return tuple(v[0] << 16 | v[1] << 8 | v[2] if colors else v for v in good)


def _line_value(text: str, file: Path, line: str) -> Any:
    try:
        numbers = [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3):
        raise ConfigError(f"{line!r} can't be understood", where=str(file), fix="name: 3, or name: 255,0,0")
    return numbers if len(numbers) == 3 else numbers[0]


def _rgb(code: int) -> tuple[int, int, int]:
    return code >> 16, code >> 8 & 255, code & 255
