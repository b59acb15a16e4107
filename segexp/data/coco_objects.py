"""Splits whose JSON of COCO's form lists objects: their masks, or their boxes alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from segexp.data.coco_json import UNKNOWN, Fault, Record
from segexp.data.coco_splits import CocoFiles
from segexp.data.objects import Tally, judge, refuse, told
from segexp.data.panoptic_faults import unknown
from segexp.data.rle import masks_of, unusable
from segexp.errors import DataError

SHORT = 200  # bytes of a segmentation that may be nothing but polygons of too few points


class JsonObjects(CocoFiles):
    """What boxes and masks have in common; see `segexp.data.objects` for what is left out, and what is refused."""

    def faults(self, index: int) -> Iterator[Fault]:
        """All that is wrong with what the JSON says of the objects of a sample."""
        record = self.found.record(index)
        yield from self._named(index, record)
        for place in np.flatnonzero(repeated(record.ids)).tolist():
            yield self._fault(index, record, place, "object-twice", "listed before in this image; the first counts")

    def file_faults(self) -> Iterator[Fault]:
        """What is wrong with the JSON as a whole; ids that occur in several images among it."""
        yield from self.found.faults
        ids = self.found.segments.ids
        image = np.repeat(np.arange(len(self)), np.diff(self.found.start))
        order = np.lexsort((image, ids))
        again = (np.diff(ids[order]) == 0) & (np.diff(image[order]) > 0) & (ids[order][1:] != UNKNOWN)
        if again.any():
            place = int(np.flatnonzero(again)[0])
            names = " and ".join(self.image_id(int(image[order[place + k]])) for k in (0, 1))
            what = f"{int(again.sum())} ids of annotations occur in several images, e.g. {ids[order[place]]} in {names}"
            yield Fault("object-id", what, (str(self.found.path),))

    def tally(self, limit: int | None = None) -> Tally:
        """Count the objects of the first `limit` samples, and what the JSON alone tells to be wrong with them.

        Raises:
            DataError: none of the objects can be used.
        """
        number = len(self) if limit is None else min(limit, len(self))
        last = int(self.found.start[number])
        suspects = self._suspects()[:last] | self._doubtful()[:last]
        image = np.repeat(np.arange(number), np.diff(self.found.start[: number + 1]))
        faults = [fault for index in np.unique(image[suspects]).tolist() for fault in self.faults(index) if fault.kind != "box-clipped"]
        return Tally(number, last, faults)

    @abstractmethod
    def _suspects(self) -> np.ndarray:
        """Which objects of the file may be left out: bool [M]."""

    def _doubtful(self) -> np.ndarray:
        """Which objects of the file have an unknown category, a broken crowd flag or the id of another: bool [M]."""
        record = self.found.segments
        strange = ~np.isin(record.categories, np.array(list(self.known.classes), np.int64)) | (record.crowd < 0)
        image = np.repeat(np.arange(len(self)), np.diff(self.found.start))
        order = np.lexsort((record.ids, image))
        twice = (np.diff(record.ids[order]) == 0) & (np.diff(image[order]) == 0)
        strange[order[1:][twice]] = True
        return strange

    def _named(self, index: int, record: Record) -> Iterator[Fault]:
        for place, (category, crowd) in enumerate(zip(record.categories.tolist(), record.crowd.tolist(), strict=True)):
            if category not in self.known.classes:
                yield self._fault(index, record, place, "segment-category", unknown(category))
            if crowd < 0:
                yield self._fault(index, record, place, "segment-crowd", "iscrowd is neither 0 nor 1")

    def _fault(self, index: int, record: Record, place: int, kind: str, what: str) -> Fault:
        return Fault(kind, f"{self._called(index, record, place)}: {what}", (str(self.found.path),))

    def _called(self, index: int, record: Record, place: int) -> str:
        return f"image {self.image_id(index)}, annotation {record.ids[place]}"

    def _taken(self, index: int, record: Record, kept: np.ndarray) -> dict[str, Any]:
        """`labels` and `crowd` of the objects that are kept: bool [S]."""
        refuse(self._named(index, record), self._where(index, None))
        classes = [self.known.classes[number] for number in record.categories[kept].tolist()]
        return {"labels": torch.tensor(classes, dtype=torch.int64), "crowd": torch.from_numpy(record.crowd[kept] == 1)}


class JsonBoxes(JsonObjects):
    """With the box of each object; what the JSON says of masks is never looked at."""

    def labels(self, index: int, path: Any, size: tuple[int, ...]) -> dict[str, Any]:
        """`boxes` float32 [N,4], `labels` int64 [N], `crowd` bool [N].

        Raises:
            DataError: an unknown category or crowd flag; with the ids of image and annotation.
        """
        record = self.found.record(index)
        boxes, verdicts = judge(corners(record), size)
        kept = (verdicts < 2) & ~repeated(record.ids)
        return {"boxes": torch.from_numpy(boxes[kept])} | self._taken(index, record, kept)

    def faults(self, index: int) -> Iterator[Fault]:
        record, size = self.found.record(index), self.found.sizes[index].tolist()
        boxes = corners(record)
        yield from super().faults(index)
        names = [self._called(index, record, place) for place in range(len(record.ids))]
        yield from told(judge(boxes, size)[1], boxes, names, size, (str(self.found.path),))

    def _suspects(self) -> np.ndarray:
        sizes = np.repeat(self.found.sizes, np.diff(self.found.start), axis=0)
        return judge(corners(self.found.segments), sizes)[1] > 1


class JsonMasks(JsonObjects):
    """With an object's polygons or run lengths each, which may overlap."""

    def labels(self, index: int, path: Any, size: tuple[int, ...]) -> dict[str, Any]:
        """`masks` bool [N,H,W], `labels` int64 [N], `crowd` bool [N]; boxes follow from the masks once these are cropped.

        Raises:
            DataError: an unknown category or crowd flag, or a mask that can't be decoded; with the ids of image and annotation.
        """
        record = self.found.record(index)
        masks = self._masks(index, record, size)
        kept = masks.any((1, 2)) & ~repeated(record.ids)
        return {"masks": torch.from_numpy(masks[kept])} | self._taken(index, record, kept)

    def faults(self, index: int) -> Iterator[Fault]:
        record, size = self.found.record(index), self.found.sizes[index].tolist()
        yield from super().faults(index)
        for place, segmentation in enumerate(self.found.segmentations(index)):
            if kind := unusable(segmentation):
                what = "it has no mask" if kind == "mask-missing" else "its polygons have fewer than three points"
                yield self._fault(index, record, place, kind, f"{what}, and it is left out")
            elif all(size):
                try:
                    empty = not masks_of(segmentation, tuple(size)).any()
                except ValueError as error:
                    yield self._fault(index, record, place, "mask-broken", str(error))
                else:
                    if empty:
                        yield self._fault(index, record, place, "mask-empty", "no pixel of its mask is in the picture; it is left out")

    def tally(self, limit: int | None = None) -> Tally:
        found = super().tally(limit)
        if found.objects and sum(fault.kind == "mask-missing" for fault in found.faults) == found.objects:
            what = f"none of the {found.objects} objects has a mask"
            raise DataError(what, where=str(self.found.path), fix="data.annotation=boxes, and a model that needs no masks")
        return found

    def _suspects(self) -> np.ndarray:
        """Those without a mask, or with little of it; the others are found out when they are drawn."""
        start = self.found.text_start
        few = np.diff(start) < SHORT
        for place in np.flatnonzero(few).tolist():
            few[place] = bool(unusable(self.found.segmentation(place)))
        return few

    def _masks(self, index: int, record: Record, size: tuple[int, ...]) -> np.ndarray:
        found = np.zeros((len(record.ids), *size), bool)
        for place, segmentation in enumerate(self.found.segmentations(index)):
            if unusable(segmentation):
                continue
            try:
                found[place] = masks_of(segmentation, size)
            except ValueError as error:
                text = f"{self._called(index, record, place)}: {error}"
                raise DataError(text, where=self._where(index, None), fix="mend the segmentation of this annotation") from None
        return found


def corners(record: Record) -> np.ndarray:
    """Boxes x, y, width, height as xyxy: float64 [N,4]."""
    return np.concatenate([record.boxes[:, :2], record.boxes[:, :2] + record.boxes[:, 2:]], 1)


def repeated(ids: np.ndarray) -> np.ndarray:
    """Which ids stand further ahead in the list, too: bool [N]; what isn't given is never repeated."""
    again = np.ones(len(ids), bool)
    again[np.unique(ids, return_index=True)[1]] = False
    return again & (ids != UNKNOWN)
