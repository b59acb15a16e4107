"""Nuclei of the 2018 Data Science Bowl (Caicedo et al., 2019) in COCO's panoptic form: one class of things on a background."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from segexp.data.coco_layout import OF_OBJECTS, CocoLayout, spec_of
from segexp.types import ClassInfo

CLASSES = (ClassInfo("nucleus", True, (220, 60, 60)), ClassInfo("background", False, (40, 40, 40)))
NUMBERS = (1, 2)  # category ids


class Nuclei(CocoLayout):
    """Pictures in `images/<split>/`, annotations in `annotations/{panoptic,instances}_<split>.json`.

    Args:
        root: the folder.
        annotation: `panoptic` (nuclei and background), `instances` (nuclei alone; needs the extra `coco`), `boxes` (of the same file) or
            `semantic`.
    """

    title = "nuclei"

    def __init__(self, *, root: str, annotation: str = "panoptic") -> None:
        super().__init__(root, annotation)
        count = 1 if annotation in OF_OBJECTS else len(CLASSES)
        self.spec = spec_of(CLASSES[:count], NUMBERS[:count], annotation)

    def jsons(self, split: str) -> Iterable[Path]:
        kind = "instances" if self.annotation in OF_OBJECTS else "panoptic"
        return (self.root / "annotations" / f"{kind}_{split}.json",)

    def folders(self, split: str) -> Iterable[Path]:
        return (self.root / "images" / split,)
