"""Splits of COCO's form: pictures whose segments or objects a JSON lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segexp.data.coco_json import Annotations, Fault, Record
from segexp.data.coco_names import called, levels
from segexp.data.labelled import Files
from segexp.data.panoptic_faults import LENIENT, Known, listed, read_segments
from segexp.errors import DataError
from segexp.functional.names import flat
from segexp.functional.segments import to_semantic
from segexp.types import DataSpec

Picture = Callable[[Annotations, int], Path]


class CocoFiles(Files):
    """Pictures that a JSON lists; alone, those of a test without labels.

    Args:
        name: of the split.
        found: the JSON.
        picture: finds the picture of an image.
        spec: the classes.
    """

    def __init__(self, name: str, found: Annotations, picture: Picture, spec: DataSpec) -> None:
        super().__init__(name, found.names, spec.in_channels)
        self.levels = levels(found.names)
        self.found, self.picture = found, picture
        values = spec.values or range(spec.num_classes)
        self.known = Known({value: i for i, value in enumerate(values)}, frozenset(spec.thing_ids))
        self.ignore_index = spec.ignore_index

    def id(self, index: int) -> str:
        """`<split>/<stem of the picture>`; where others have this stem, with the folders before it."""
        return f"{self.name}/{called(self.key(index), int(self.levels[index]))}"

    def paths(self, index: int) -> tuple[Path, Path | None]:
        return self.picture(self.found, index), None

    def image_id(self, index: int) -> str:
        """The id that the JSON gives the image, as text."""
        return self.found.ids[index].decode()

    def image_ids(self) -> dict[str, int | str]:
        """Name of a sample, as `names.flat` makes it of the id -> the JSON's own image id, for the writers of official formats."""
        numbers = ((index, self.image_id(index)) for index in range(len(self)))
        return {flat(self.id(i)): number if self.found.texts[i] else int(number) for i, number in numbers}

    def content(self, index: int) -> bytes:
        """What tells the data doctor that the JSON says something else of a sample than before."""
        return self.found.content(index)

    def file_faults(self) -> Iterator[Fault]:
        """What is wrong with the JSON as a whole."""
        yield from self.found.faults

    def _where(self, index: int, path: Path | None) -> str:
        return f"image {self.image_id(index)} of {self.found.path}" + (f", {path}" if path else "")


class PanopticFiles(CocoFiles):
    """With a PNG of segment ids each.

    Args:
        name, found, picture, spec: as of `CocoFiles`.
        masks: the folder of the PNG.
        semantic: samples carry the classes of the segments alone.
    """

    def __init__(self, name: str, found: Annotations, picture: Picture, spec: DataSpec, masks: Path, *, semantic: bool = False) -> None:
        super().__init__(name, found, picture, spec)
        self.masks, self.semantic = masks, semantic

    def paths(self, index: int) -> tuple[Path, Path | None]:
        name = self.found.labels[index].decode()
        return self.picture(self.found, index), self.masks / name if self.found.annotated[index] else None

    def labels(self, index: int, path: Path | None, size: tuple[int, ...]) -> dict[str, Any]:
        """`segments` int32 [H,W], 0 = void; `segment_labels` int64 [S]; `segment_crowd` bool [S]; or `semantic` uint8 [H,W].

        An image without annotation is void throughout. Areas and boxes of the JSON count for nothing; where an area differs from
        that of the PNG, a warning names the segment.

        Raises:
            DataError: what the JSON says contradicts the PNG; with the ids of image and segment.
        """
        if path is None:
            record, numbers = _empty(), np.zeros(size, np.int32)
        else:
            record = self.found.record(index)
            numbers, _, faults = read_segments(path, record, self.image_id(index), self.known, self._size(index), boxes=False)
            self._judge(index, faults, path)
        labels = torch.tensor([self.known.classes[number] for number in record.categories.tolist()], dtype=torch.int64)
        segments = torch.from_numpy(numbers)
        if self.semantic:
            return {"semantic": to_semantic(segments, labels, self.ignore_index)}
        return {"segments": segments, "segment_labels": labels, "segment_crowd": torch.from_numpy(record.crowd == 1)}

    def faults(self, index: int) -> Iterator[Fault]:
        """All that is wrong with the annotation of a sample, for the data doctor."""
        path = self.paths(index)[1]
        if path is None:
            yield Fault("unannotated", f"image {self.image_id(index)} has no annotation", (str(self.found.path),))
        elif path.is_file():
            try:
                yield from read_segments(path, self.found.record(index), self.image_id(index), self.known, self._size(index)).faults
            except DataError:  # the doctor finds out itself why a file can't be read
                return

    def _size(self, index: int) -> tuple[int, ...] | None:
        size = tuple(self.found.sizes[index].tolist())
        return size if all(size) else None

    def _judge(self, index: int, faults: list[Fault], path: Path) -> None:
        if hard := [fault for fault in faults if fault.kind not in LENIENT]:
            fix = "segexp data check lists all such segments; mend the JSON or the PNG"
            raise DataError(listed(hard), where=self._where(index, path), fix=fix)


def _empty() -> Record:
    none = np.zeros(0, np.int64)
    return Record(none, none, none.astype(np.int8), none.astype(np.float64), np.zeros((0, 4)))
