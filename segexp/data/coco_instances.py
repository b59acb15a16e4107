"""Any data set whose objects a JSON of COCO's form lists: polygons, run lengths, or boxes alone. Its categories are the classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from segexp.data.coco_json import Fault
from segexp.data.coco_layout import GIVES, OF_OBJECTS, Patterns, spec_of
from segexp.data.coco_listed import CocoListed
from segexp.errors import ConfigError
from segexp.types import DataSpec

JSONS = (
    *("annotations/instances_{}.json", "instances_{}.json", "annotations/{}.json", "{}.json"),
    *("{}/_annotations.coco.json", "annotations/{}_annotations.coco.json", "{}/annotations.json"),
)


class CocoInstances(CocoListed):
    """All categories are things, whatever the JSON says, in its order and with any ids.

    Args:
        root: the folder.
        json: the JSON of each split below `root`: a path with `{split}`, or a path for each (`{train: a.json, val: b.json}`; a single
            path is that of `train`); null = `annotations/instances_<split>.json`, `<split>.json`, ...
        images: the folders of the pictures, written alike, or one for all; null = `images/<split>`, `<split>`, ...
        classes: categories, [{id: 1, name: car}, ...], or a JSON that holds them; null = the JSON's.
        annotation: `instances` (masks; needs the extra `coco`), or `boxes`.
    """

    annotations = {name: kind for name, kind in GIVES.items() if name in OF_OBJECTS}
    title = "a JSON of COCO's form"
    usual = JSONS

    def __init__(
        self,
        *,
        root: str,
        json: Patterns = None,
        images: Patterns = None,
        classes: Sequence[Mapping[str, Any]] | str | None = None,
        annotation: str = "instances",
    ) -> None:
        super().__init__(root, annotation, json, images, classes)
        if annotation not in OF_OBJECTS:
            fix = "data.annotation=instances|boxes; data=coco_panoptic reads segments"
            raise ConfigError("a JSON of objects has no segments", where=f"data.annotation={annotation}", fix=fix)

    def file_faults(self) -> Iterator[Fault]:
        """As of any listed set; that no category says to be a thing is no fault here."""
        return (fault for fault in super().file_faults() if fault.kind != "no-isthing")

    @cached_property
    def spec(self) -> DataSpec:
        infos = [replace(category.info, is_thing=True) for category in self.categories]
        return spec_of(infos, [category.number for category in self.categories], self.annotation)
