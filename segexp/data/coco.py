"""COCO 2017 (Lin et al., 2014; Kirillov et al., 2019): 118,287 train, 5,000 val pictures; 133 categories, of which 80 are things."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from segexp.data.coco_classes import INSTANCE_CLASSES, INSTANCE_IDS, PANOPTIC_CLASSES, PANOPTIC_IDS
from segexp.data.coco_layout import OF_OBJECTS, CocoLayout, spec_of


class Coco(CocoLayout):
    """Pictures in `<split>2017/` or `images/<split>2017/`, annotations in `annotations/`, as downloaded.

    Args:
        root: the folder that holds `annotations`.
        annotation: `panoptic` (133 classes, from `panoptic_<split>2017.json` and its PNG), `instances` (80 classes, polygons and
            run lengths from `instances_<split>2017.json`; needs the extra `coco`), `boxes` (of the same file) or `semantic` (133
            classes, of the segments).
    """

    title = "COCO"
    hint = (
        "fetch train2017.zip, val2017.zip, annotations_trainval2017.zip and panoptic_annotations_trainval2017.zip from cocodataset.org, "
        "and unpack them so that annotations/{panoptic,instances}_{train,val}2017.json, annotations/panoptic_{train,val}2017/*.png "
        "and {train,val}2017/*.jpg lie there"
    )

    def __init__(self, *, root: str, annotation: str = "panoptic") -> None:
        super().__init__(root, annotation)
        objects = annotation in OF_OBJECTS
        classes, numbers = (INSTANCE_CLASSES, INSTANCE_IDS) if objects else (PANOPTIC_CLASSES, PANOPTIC_IDS)
        self.spec = spec_of(classes, numbers, annotation)

    def jsons(self, split: str) -> Iterable[Path]:
        kind = "instances" if self.annotation in OF_OBJECTS else "panoptic"
        return (self.root / "annotations" / f"{kind}_{split}2017.json",)

    def folders(self, split: str) -> Iterable[Path]:
        return (self.root / "images" / f"{split}2017", self.root / f"{split}2017")

    def lists(self, split: str) -> Iterable[Path]:
        names = ("image_info_test-dev2017.json", "image_info_test2017.json") if split == "test" else ()
        return [self.root / "annotations" / name for name in names]
