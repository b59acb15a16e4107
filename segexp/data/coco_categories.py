"""The categories of a JSON of COCO's form: which classes there are, which of them are things, and their colours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segexp.data.palette import voc_color
from segexp.errors import ConfigError, DataError
from segexp.types import ClassInfo

FORM = "[{id: 1, name: road, isthing: 0, color: [128,64,128]}, ...]"
MOST = 4  # colours that are named in one line


class Category(NamedTuple):
    """One entry; `told`: it says whether it is a thing; `color`: what it gives as colour and is none, else nothing."""

    number: int
    info: ClassInfo
    told: bool = True
    color: str = ""


def parse_categories(listed: Any, where: str) -> tuple[Category, ...]:
    """Categories from plain containers; those without a colour, or whose colour is none, get one of VOC's colour map.

    Raises:
        DataError: categories that lack an id or a name, or have those of another.
    """
    fix = f"categories: {FORM}"
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        raise DataError("no categories", where=where, fix=fix)
    found, numbers, names = [], set(), set()
    for place, entry in enumerate(listed):
        number, name = (entry.get("id"), entry.get("name")) if isinstance(entry, Mapping) else (None, None)
        if type(number) is not int or number < 0 or not isinstance(name, str):
            raise DataError(f"category {place + 1} has no number as id, or no name: {str(entry)[:80]}", where=where, fix=fix)
        if number in numbers or name in names:
            raise DataError(f"category {number} ({name}) is listed twice", where=where, fix="give each category its own id and name")
        numbers.add(number)
        names.add(name)
        color, thing = entry.get("color"), entry.get("isthing")
        rgb = tuple(color) if _is_color(color) else voc_color(place + 1)
        odd = "" if color is None or _is_color(color) else str(color)[:40]
        found.append(Category(number, ClassInfo(name, bool(thing), rgb), thing is not None, odd))
    return tuple(found)


def read_classes(path: Path) -> tuple[Category, ...]:
    """The categories that `data.classes` names: of a JSON that is a list of them, or holds one as `categories`.

    Raises:
        ConfigError: there is no such file.
        DataError: no JSON, or as `parse_categories`.
    """
    where = f"data.classes={path}"
    if not path.is_file():
        raise ConfigError("there is no such file", where=where, fix=f"a JSON below data.root that holds categories, or {FORM}")
    try:
        plain = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"not valid JSON: {error}", where=where, fix="restore the file") from None
    return parse_categories(plain.get("categories") if isinstance(plain, dict) else plain, where)


def check_classes(value: Any) -> None:
    """Refuse what can't be `data.classes`.

    Raises:
        ConfigError: neither nothing, nor a path, nor a list of mappings.
    """
    listed = isinstance(value, Sequence) and all(isinstance(entry, Mapping) for entry in value)
    if value is not None and not isinstance(value, str) and not listed:
        what = "this is no list of categories, and no JSON that holds them"
        raise ConfigError(what, where=f"data.classes={value}", fix=f"data.classes={FORM}, or data.classes=<file>.json")


def doubts(categories: Sequence[Category]) -> Iterator[tuple[str, str]]:
    """(Kind of the data doctor's, what is wrong) of categories that can be used all the same."""
    if not any(category.told for category in categories):
        yield "no-isthing", f"none of the {len(categories)} categories has isthing: all are taken as stuff"
    if odd := [f"{c.number} ({c.info.name}) has {c.color}" for c in categories if c.color]:
        more = f"; and {len(odd) - MOST} more" if len(odd) > MOST else ""
        yield "category-color", f"colours that are none: {'; '.join(odd[:MOST])}{more}"


def _is_color(value: Any) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        return False
    return all(type(channel) is int and 0 <= channel <= 255 for channel in value)
