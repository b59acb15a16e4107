"""The classes of a user's masks, as the config or a file names them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segexp.data.palette import voc_color
from segexp.errors import ConfigError
from segexp.types import ClassInfo

IGNORED = 255  # void by convention, where it isn't a class
MOST = 254  # classes
FOUND = "found in the masks"
EXAMPLE = "'data.classes={background: 0, cell: 255}' or {background: [0,0,0], cell: [255,0,0]}"


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
        own = [rgb(value[0]) for value in self.values]
        grey = not self.colors or all(len(set(rgb)) == 1 for rgb in own)
        shown = [voc_color(i) for i in range(len(own))] if grey else own
        return tuple(ClassInfo(name, False, color) for name, color in zip(self.names, shown, strict=True))

    def shown(self, value: int) -> str:
        """A value as a config has it."""
        return "[{},{},{}]".format(*rgb(value)) if self.colors else str(value)


def given_coding(classes: Any, ignore: Any, source: str) -> Coding:
    """The coding that a config or a file spells out.

    Classes are names, whose values are 0, 1, ..., or each has a value, a colour [R,G,B], or a list of either. Where every
    class has a list of three, or a list of such lists, they are colours.

    Raises:
        ConfigError: a name or value can't be understood or stands twice, or there are too many.
    """
    if isinstance(classes, (list, tuple)) and all(isinstance(name, str) for name in classes):
        classes = once(((name, value) for value, name in enumerate(classes)), source)
    if not isinstance(classes, Mapping):
        fix = f"{EXAMPLE}, or names alone, whose values are 0, 1, ...: [background, cell]"
        raise ConfigError(f"classes can't be understood: {classes!r}", where=source, fix=fix)
    classes = once(((str(name), value) for name, value in classes.items()), source)
    if not 2 <= len(classes) <= MOST:
        raise ConfigError(f"{len(classes)} classes", where=source, fix=f"give 2 to {MOST}: {EXAMPLE}")
    colors = all(_is_color(v) or (isinstance(v, (list, tuple)) and v and all(map(_is_color, v))) for v in classes.values())
    values = tuple(_codes(value, colors, f"{source}, class {name!r}") for name, value in classes.items())
    void = default_void(values, colors) if ignore is None else void_codes(ignore, colors)
    codes = [code for group in values for code in group]
    if twice := sorted({code for code in codes if codes.count(code) > 1 or code in void}):
        shown = rgb(twice[0]) if colors else twice[0]
        raise ConfigError(f"{shown} has two meanings", where=source, fix="give each value to one class, or to data.ignore")
    return Coding(tuple(classes), values, void, colors, source)


def once(named: Iterable[tuple[str, Any]], source: str) -> dict[str, Any]:
    """Names with their values, as a dict.

    Raises:
        ConfigError: a name stands twice.
    """
    found: dict[str, Any] = {}
    for name, value in named:
        if name in found:
            raise ConfigError(f"class {name!r} stands twice", where=source, fix="each name once; several values: name: [3,4]")
        found[name] = value
    return found


def file_coding(root: Path, ignore: Any) -> Coding | None:
    """The coding of `classes.json` or `classes.txt`; None where there is neither.

    JSON: {name: value, colour, or list of either}, or a list of names, whose values are 0, 1, ... Text: a name a line, or
    `name: value` or `name: R,G,B` a line.

    Raises:
        ConfigError: the file can't be understood.
    """
    if (file := root / "classes.json").is_file():
        try:
            classes = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=lambda pairs: once(pairs, str(file)))
        except ValueError as error:
            raise ConfigError(f"not JSON ({error})", where=str(file), fix="mend it, or give data.classes") from None
    elif (file := root / "classes.txt").is_file():
        classes = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        if any(":" in line for line in classes):
            parts = [(line, line.rpartition(":")) for line in classes]
            classes = once(((name.strip(), _line_value(value, file, line)) for line, (name, _, value) in parts), str(file))
    else:
        return None
    return given_coding(classes, ignore, str(file))


def void_codes(ignore: Any, colors: bool) -> tuple[int, ...]:
    """The values or colours that `ignore` names: one or several; none where it is null or empty.

    Raises:
        ConfigError: one can't be understood.
    """
    return () if ignore is None or ignore == [] or ignore == () else _codes(ignore, colors, "data.ignore")


def default_void(values: Sequence[Sequence[int]], colors: bool) -> tuple[int, ...]:
    """What is void where `ignore` is null: 255, unless it is a class or masks are of colours."""
    return () if colors or any(IGNORED in group for group in values) else (IGNORED,)


def rgb(code: int) -> tuple[int, int, int]:
    """A colour from its number."""
    return code >> 16, code >> 8 & 255, code & 255


def _is_color(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 3 and all(type(part) is int and 0 <= part <= 255 for part in value)


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
