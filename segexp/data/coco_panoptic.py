"""Any data set in COCO's panoptic form: a JSON and a folder of PNG for each split. Its categories say what the classes are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from segexp.data.coco_categories import Category, check_classes, doubts, parse_categories, read_classes
from segexp.data.coco_json import Fault, read_categories
from segexp.data.coco_layout import GIVES, SPLITS, CocoLayout, Patterns, spec_of
from segexp.data.coco_splits import CocoFiles
from segexp.errors import ConfigError, DataError
from segexp.types import DataSpec

JSONS = ("annotations/panoptic_{}.json", "panoptic_{}.json", "ade20k_panoptic_{}.json", "annotations/{}.json", "{}.json")
PICTURES = ("images/{}", "{}", "JPEGImages/{}", "images", "")
LONG = {"train": "training", "val": "validation", "test": "testing"}


class CocoPanoptic(CocoLayout):
    """Segments as colours R + 256 G + 65536 B in PNG, their categories in a JSON; ADE20K's panoptic files among others.

    Classes are the categories in the order of the JSON of `train`, whatever their ids.

    Args:
        root: the folder.
        json: the JSON of each split below `root`: a path with `{split}`, or a path for each (`{train: a.json, val: b.json}`; a single
            path is that of `train`); null = `annotations/panoptic_<split>.json`, `panoptic_<split>2017.json`,
            `ade20k_panoptic_<split>.json`, ...
        masks: the folders of the PNG, written alike, or one for all; null = beside the JSON, with its name.
        images: the folders of the pictures, written alike, or one for all; null = `images/<split>`, `<split>`, `images/training`, ...
        classes: categories, [{id: 1, name: road, isthing: 0, color: [128,64,128]}, ...], or a JSON that holds them; null = the JSON's.
        annotation: `panoptic` (segments), or `semantic` (their classes).
    """

    annotations = {name: kind for name, kind in GIVES.items() if name != "instances"}
    title = "a data set of COCO's panoptic form"

    def __init__(
        self,
        *,
        root: str,
        json: Patterns = None,
        masks: Patterns = None,
        images: Patterns = None,
        classes: Sequence[Mapping[str, Any]] | str | None = None,
        annotation: str = "panoptic",
    ) -> None:
        super().__init__(root, annotation)
        if annotation == "instances":
            fix = "data.annotation=panoptic: objects follow from segments"
            raise ConfigError("a panoptic JSON has no objects", where="data.annotation=instances", fix=fix)
        for key, value in (("json", json), ("masks", masks), ("images", images)):
            _check_pattern(key, value)
        check_classes(classes)
        self.json, self.png, self.images = _plain(json), _plain(masks), _plain(images)
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
    def spec(self) -> DataSpec:
        """The classes; `values` are the category ids."""
        return spec_of([c.info for c in self.categories], [c.number for c in self.categories], self.annotation)

    def jsons(self, split: str) -> Iterable[Path]:
        if self._single and split != "train":
            return ()  # one JSON is one split
        return self._places(split, self.json, JSONS)

    def folders(self, split: str) -> Iterable[Path]:
        return self._places(split, self.images, PICTURES)

    def masks(self, split: str, found: Path) -> Iterable[Path]:
        if self.png is not None:
            return self._places(split, self.png, ())
        return (found.with_suffix(""), found.with_name(f"{found.stem}_masks"))

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

    def _places(self, split: str, given: Patterns, usual: Iterable[str]) -> list[Path]:
        if isinstance(given, str):
            return [self.root / given.replace("{split}", split)]
        if given is not None:
            return [self.root / given[split]] if split in given else []
        names = (split, f"{split}2017", LONG[split])
        return list(dict.fromkeys(self.root / pattern.format(name) for pattern in usual for name in names))


def _check_pattern(key: str, value: Any) -> None:
    good = value is None or isinstance(value, str)
    if isinstance(value, Mapping):
        good = bool(value) and set(value) <= set(SPLITS) and all(isinstance(item, str) for item in value.values())
    if not good:
        raise ConfigError("this names no paths", where=f"data.{key}={value}", fix=f"data.{key}='a/{{split}}', or {{train: a, val: b}}")


def _plain(value: Patterns) -> Patterns:
    return dict(value) if isinstance(value, Mapping) else value
