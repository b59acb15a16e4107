"""What data sets of COCO's form share whose classes are the categories of their JSON, and whose files may lie anywhere."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from segexp.data.coco_categories import Category, check_classes, doubts, parse_categories, read_classes
from segexp.data.coco_json import Fault, read_categories
from segexp.data.coco_layout import SPLITS, CocoLayout, Patterns
from segexp.data.coco_splits import CocoFiles
from segexp.errors import ConfigError, DataError
from segexp.types import DataSpec

PICTURES = ("images/{}", "{}", "JPEGImages/{}", "images", "")
LONG = {"train": "training", "val": "validation", "test": "testing"}


class CocoListed(CocoLayout):
    """Classes are the categories in the order of the JSON of `train`, whatever their ids.

    Args:
        root, annotation: as of `CocoLayout`.
        json: the JSON of each split below `root`: a path with `{split}`, or a path for each; a single path is that of `train`; None =
            by the usual names.
        images: the folders of the pictures, written alike, or one for all.
        classes: categories, or a JSON that holds them; None = the JSON's.
    """

    usual: tuple[str, ...] = ()  # where a JSON may lie

    def __init__(
        self, root: str, annotation: str, json: Patterns, images: Patterns, classes: Sequence[Mapping[str, Any]] | str | None
    ) -> None:
        super().__init__(root, annotation)
        for key, value in (("json", json), ("images", images)):
            check_pattern(key, value)
        check_classes(classes)
        self.json, self.images = plain_pattern(json), plain_pattern(images)
        self.classes = classes if classes is None or isinstance(classes, str) else [dict(entry) for entry in classes]

    @cached_property
    def categories(self) -> tuple[Category, ...]:
        """As given, else of the first split's JSON.

        Raises:
            ConfigError: no JSON is there, or not the file that `classes` names.
            DataError: the categories can't be used.
        """
        if isinstance(self.classes, str):
            return read_classes(self.root / self.classes)
        if self.classes is not None:
            return parse_categories(self.classes, "data.classes")
        path = next((found for split in SPLITS if (found := self._json(split))), None)
        if path is None:
            raise self._missing("train")
        return read_categories(path)

    @cached_property
    @abstractmethod
    def spec(self) -> DataSpec:
        """The classes; `values` are the category ids."""

    def jsons(self, split: str) -> Iterable[Path]:
        if self._single and split != "train":
            return ()  # one JSON is one split
        return self.places(split, self.json, self.usual)

    def folders(self, split: str) -> Iterable[Path]:
        return self.places(split, self.images, PICTURES)

    def file_faults(self) -> Iterator[Fault]:
        """Splits whose categories differ: their segments would be read as other classes; and what is odd about categories."""
        if self.classes is not None:
            yield from (Fault(kind, what, ("data.classes",)) for kind, what in doubts(self.categories))
        for split in self.splits:
            path = self._json(split)
            try:
                other = read_categories(path) if path else self.categories
            except DataError as error:
                yield Fault("categories", f"the categories of {split}: {error.what}", (str(path),))
                continue
            if self.classes is None:
                yield from (Fault(kind, f"{split}: {what}", (str(path),)) for kind, what in doubts(other))
            mine = {c.number: (c.info.name, c.info.is_thing) for c in self.categories}
            theirs = {c.number: (c.info.name, c.info.is_thing) for c in other}
            if odd := sorted(n for n in mine.keys() | theirs.keys() if mine.get(n) != theirs.get(n)):
                shown = "; ".join(f"{n} is {theirs.get(n, 'missing')}, was {mine.get(n, 'missing')}" for n in odd[:4])
                yield Fault("categories", f"the categories of {split} differ from those of the set: {shown}", (str(path),))

    def open(self, split: str) -> CocoFiles:
        if self._json(split) is not None:
            _ = self.spec  # the JSON is parsed once for both
        return super().open(split)

    @property
    def _single(self) -> bool:
        return isinstance(self.json, str) and "{split}" not in self.json

    def _missing(self, split: str) -> ConfigError:
        error = super()._missing(split)
        if not self._single or not self.splits or split not in SPLITS:
            return error
        return ConfigError(error.what, where=error.where, fix=f"data.json={{train: {self.json}, {split}: <json>}}, or {error.fix}")

    def places(self, split: str, given: Patterns, usual: Iterable[str]) -> list[Path]:
        """Where something of a split may lie: as it is given, else by the usual names."""
        if isinstance(given, str):
            return [self.root / given.replace("{split}", split)]
        if given is not None:
            return [self.root / given[split]] if split in given else []
        names = (split, f"{split}2017", LONG[split])
        return list(dict.fromkeys(self.root / pattern.format(name) for pattern in usual for name in names))


def check_pattern(key: str, value: Any) -> None:
    """Refuse what names no paths.

    Raises:
        ConfigError: it is neither nothing, nor a path, nor a path for each split.
    """
    good = value is None or isinstance(value, str)
    if isinstance(value, Mapping):
        good = bool(value) and set(value) <= set(SPLITS) and all(isinstance(item, str) for item in value.values())
    if not good:
        raise ConfigError("this names no paths", where=f"data.{key}={value}", fix=f"data.{key}='a/{{split}}', or {{train: a, val: b}}")


def plain_pattern(value: Patterns) -> Patterns:
    """The same in plain containers."""
    return dict(value) if isinstance(value, Mapping) else value
