"""The objects' masks of PASCAL VOC: `SegmentationObject`, with the class of each from `SegmentationClass`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segexp.data.coco_json import Fault
from segexp.data.labelled import Files, Place
from segexp.errors import DataError
from segexp.functional.images import read_labels
from segexp.types import DataSpec

VOID = 255


class VocMasks(Files):
    """One split; objects k = 1, 2, ... as palette PNG, 0 and 255 belonging to none.

    Args:
        name: of the split.
        keys: names of the pictures.
        place: name -> (picture, PNG of the objects or None).
        spec: the 20 classes of objects; their values in the class maps are 1..20.
    """

    def __init__(self, name: str, keys: list[str], place: Place, spec: DataSpec) -> None:
        super().__init__(name, np.array([key.encode() for key in keys], np.bytes_), spec.in_channels)
        self.place, self.classes = place, spec.num_classes

    def id(self, index: int) -> str:
        return f"{self.name}/{self.key(index)}"

    def paths(self, index: int) -> tuple[Path, Path | None]:
        return self.place(self.key(index))

    def related(self, index: int) -> tuple[Path, ...]:
        """The class map of a sample."""
        path = self.paths(index)[1]
        return (_class_map(path),) if path else ()

    def labels(self, index: int, path: Path | None, size: tuple[int, ...]) -> dict[str, Any]:
        """`masks` bool [N,H,W], `labels` int64 [N], `crowd` bool [N], all false.

        Raises:
            DataError: a file can't be read, the two differ in size, or an object has no class.
        """
        if path is None:
            return {}
        objects, numbers, classes, faults = self._read(index, path)
        if faults:
            raise DataError(faults[0].what, where=f"{path} and {_class_map(path)}", fix="restore the files")
        masks = torch.from_numpy(objects)[None] == torch.tensor(numbers, dtype=torch.uint8)[:, None, None]  # [N,H,W]
        labels = torch.tensor(classes, dtype=torch.int64) - 1
        return {"masks": masks, "labels": labels, "crowd": torch.zeros(len(labels), dtype=torch.bool)}

    def faults(self, index: int) -> Iterator[Fault]:
        """Objects without a class."""
        path = self.paths(index)[1]
        if path is not None and path.is_file():
            try:
                yield from self._read(index, path)[3]
            except DataError:  # the doctor finds out itself why a file can't be read
                return

    def _read(self, index: int, path: Path) -> tuple[np.ndarray, list[int], list[int], list[Fault]]:
        """The objects [H,W], their numbers, the class map's value of each, and what is wrong with them."""
        objects, kinds = (read_labels(file).numpy().astype(np.uint8) for file in (path, _class_map(path)))
        if objects.shape != kinds.shape:
            what = f"the objects are {objects.shape}, their classes {kinds.shape}"
            raise DataError(what, where=f"{path} and {_class_map(path)}", fix="make the sizes equal")
        numbers, classes, faults = [], [], []
        for number in np.setdiff1d(np.unique(objects), [0, VOID]).tolist():
            values = np.bincount(kinds[objects == number], minlength=256)
            value = int(values[1 : self.classes + 1].argmax()) + 1
            numbers.append(number)
            classes.append(value)
            if values[value] * 2 <= values.sum():
                what = f"image {self.id(index)}, object {number}: most of its pixels have no class of objects in the class map"
                faults.append(Fault("object-class", what, (str(path), str(_class_map(path)))))
        return objects, numbers, classes, faults


def _class_map(path: Path) -> Path:
    return path.parents[1] / "SegmentationClass" / path.name
