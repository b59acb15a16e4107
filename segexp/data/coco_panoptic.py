"""Any data set in COCO's panoptic form: a JSON and a folder of PNG for each split. Its categories say what the classes are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from segexp.data.coco_layout import GIVES, OF_OBJECTS, Patterns, spec_of
from segexp.data.coco_listed import CocoListed, check_pattern, plain_pattern
from segexp.errors import ConfigError
from segexp.types import DataSpec

JSONS = ("annotations/panoptic_{}.json", "panoptic_{}.json", "ade20k_panoptic_{}.json", "annotations/{}.json", "{}.json")


class CocoPanoptic(CocoListed):
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

    annotations = {name: kind for name, kind in GIVES.items() if name not in OF_OBJECTS}
    usual = JSONS
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
        super().__init__(root, annotation, json, images, classes)
        if annotation in OF_OBJECTS:
            fix = "data.annotation=panoptic: objects follow from segments"
            raise ConfigError("a panoptic JSON has no objects", where=f"data.annotation={annotation}", fix=fix)
        check_pattern("masks", masks)
        self.png = plain_pattern(masks)

    @cached_property
    def spec(self) -> DataSpec:
        """The classes; `values` are the category ids."""
        return spec_of([c.info for c in self.categories], [c.number for c in self.categories], self.annotation)

    def masks(self, split: str, found: Path) -> Iterable[Path]:
        if self.png is not None:
            return self.places(split, self.png, ())
        return (found.with_suffix(""), found.with_name(f"{found.stem}_masks"))
