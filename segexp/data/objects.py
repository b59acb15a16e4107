"""Boxes and masks as data sets give them: which objects are taken as they are, which are clipped, left out or refused.

| what | rule | kind |
|---|---|---|
| no box, or not four finite numbers | left out | `box-missing` |
| right of its right edge, below its lower one | left out | `box-inverted` |
| without area | left out | `box-empty` |
| wholly outside the picture | left out | `box-outside` |
| partly outside | clipped | `box-clipped` (told where more than a pixel is cut, of shares a hundredth) |
| no mask, in a run that needs them | left out | `mask-missing` |
| a polygon of fewer than three points | the part counts for nothing; an object of such parts alone is left out | `polygon-points` |
| a mask without a pixel in the picture | left out | `mask-empty` |
| an id twice in one image | the first counts | `object-twice` |
| a class that the set hasn't, numbers that can't be read, a crowd flag neither 0 nor 1 | refused | `object-class`, ... |
| an image without objects | kept | |
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from segexp.data.coco_json import Fault
from segexp.data.labelled import Files
from segexp.errors import DataError

VERDICTS = ("", "box-clipped", "box-missing", "box-inverted", "box-empty", "box-outside")
LEFT_OUT = frozenset({*VERDICTS[2:], "mask-missing", "polygon-points", "mask-empty", "object-twice"})
TAKEN = LEFT_OUT | {"box-clipped", "box-base"}  # training goes on with these
SLACK = 1.0  # pixels beyond the picture of which nothing is told: tools round
TOLD = {
    "box-clipped": "reaches beyond the picture of {size}, and is clipped",
    "box-missing": "is no four numbers, and is left out",
    "box-inverted": "ends before it begins, and is left out",
    "box-empty": "has no area, and is left out",
    "box-outside": "lies outside the picture of {size}, and is left out",
}
Sizes = np.ndarray | Sequence[int]


class Objects(NamedTuple):
    """What a file says of the objects of one image; of one length N.

    `boxes` float64 [N,4] xyxy, half-open, NaN where there is none; `labels` int64 [N]; `crowd` bool [N]; `names` what each is called in
    its file, such as "object 3"; `faults` of what can't be used at all: such objects aren't among the N.
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    names: Sequence[str]
    faults: Sequence[Fault] = ()


class Tally(NamedTuple):
    """What a split has: `images`, `objects`, and the faults of objects that are left out or refused."""

    images: int
    objects: int
    faults: list[Fault]


def judge(boxes: np.ndarray, sizes: Sizes, *, slack: float = SLACK) -> tuple[np.ndarray, np.ndarray]:
    """Clip boxes to their pictures, and say what is wrong with each.

    Args:
        boxes: float64 [N,4] xyxy.
        sizes: (height, width) of the picture, or one for each box [N,2]; 0 where it isn't known: nothing lies outside.
        slack: what may be cut without a word.

    Returns:
        Boxes float32 [N,4], those without use as zeros, and places in `VERDICTS` [N]; what is 2 or more is left out.
    """
    limit = np.broadcast_to(np.asarray(sizes, np.float64).reshape(-1, 2), (len(boxes), 2))[:, ::-1]  # [N,2] width, height
    limit = np.where(limit > 0, limit, np.inf)
    lost = ~np.isfinite(boxes).all(1)
    plain = boxes.copy()
    plain[lost] = 0
    first, last = plain[:, :2], plain[:, 2:]
    clipped = np.concatenate([first.clip(0, limit), last.clip(0, limit)], 1)
    known = np.isfinite(limit)
    cut = (known & ((first < -slack) | (last > limit + slack))).any(1)
    outside = (known & ((last <= 0) | (first >= limit))).any(1)
    clipped = np.where(np.tile(known, 2), clipped, plain)
    verdict = np.select([lost, (last < first).any(1), (last == first).any(1), outside, cut], [2, 3, 4, 5, 1], 0).astype(np.int8)
    return np.where(verdict[:, None] > 1, 0.0, clipped).astype(np.float32), verdict


def told(verdicts: np.ndarray, boxes: np.ndarray, names: Sequence[str], size: Sizes, about: tuple[str, ...]) -> Iterator[Fault]:
    """What `judge` found of the boxes of one image, in words; `names` begin with the image."""
    height, width = (int(side) for side in size)
    for place in np.flatnonzero(verdicts).tolist():
        kind = VERDICTS[verdicts[place]]
        said = TOLD[kind].format(size=f"{width}x{height}")
        shown = "" if kind == "box-missing" else f" {[round(float(value), 2) for value in boxes[place]]}"
        yield Fault(kind, f"{names[place]}: its box{shown} {said}", about)


def refuse(faults: Iterable[Fault], where: str) -> None:
    """Raise the first of the faults with which an image can't be used.

    Raises:
        DataError: names image and object, and how many more there are.
    """
    hard = [fault for fault in faults if fault.kind not in TAKEN]
    if hard:
        more = f"; and {len(hard) - 1} more" if len(hard) > 1 else ""
        fix = "segexp data check lists all such objects; mend the annotations"
        raise DataError(hard[0].what + more, where=where or ", ".join(hard[0].paths), fix=fix)


def summary(tally: Tally) -> str:
    """How many objects are left out, and why, in one line; nothing where none is."""
    counts = Counter(fault.kind for fault in tally.faults if fault.kind in LEFT_OUT)
    if not counts:
        return ""
    kinds = ", ".join(f"{number} {kind}" for kind, number in counts.most_common())
    first = next(fault.what for fault in tally.faults if fault.kind in LEFT_OUT)
    many = counts.total()
    return f"{many} of {tally.objects} objects {'is' if many == 1 else 'are'} left out ({kinds}), e.g. {first}"


class BoxFiles(Files):
    """Pictures with a file of boxes each, which who inherits reads.

    `slack`: how far beyond the picture a box may reach without a word, in the unit of `size`.
    """

    slack = SLACK

    @abstractmethod
    def annotation(self, index: int) -> Path | None:
        """The file of a sample's objects; None of a test without labels."""

    @abstractmethod
    def read(self, index: int) -> Objects:
        """The objects of a sample; boxes in the unit of `size`.

        Raises:
            DataError: the file can't be read.
        """

    def size(self, index: int) -> tuple[int, ...]:
        """(Height, width) that the file gives the picture, zeros where it gives none."""
        return 0, 0

    def related(self, index: int) -> tuple[Path, ...]:
        """Files of a sample beside its picture."""
        path = self.annotation(index)
        return (path,) if path else ()

    def labels(self, index: int, path: Path | None, size: tuple[int, ...]) -> dict[str, Any]:
        """`boxes` float32 [N,4], `labels` int64 [N], `crowd` bool [N].

        Raises:
            DataError: the file can't be read, or says what is refused; with the image and the place in its file.
        """
        if self.annotation(index) is None:
            return {}
        found = self.read(index)
        refuse(found.faults, str(self.annotation(index)))
        boxes, verdicts = judge(self.scaled(found.boxes, size), size)
        kept = verdicts < 2
        labels, crowd = torch.from_numpy(found.labels[kept]), torch.from_numpy(found.crowd[kept])
        return {"boxes": torch.from_numpy(boxes[kept]), "labels": labels, "crowd": crowd}

    def scaled(self, boxes: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
        """Boxes as they are read, in pixels of a picture of `size`."""
        return boxes

    def faults(self, index: int) -> Iterator[Fault]:
        """All that is wrong with the objects of a sample."""
        return self._told(index, self.read(index))

    def tally(self, limit: int | None = None) -> Tally:
        """Count the objects of the first `limit` samples, and what is wrong with them; reads their files."""
        number = len(self) if limit is None else min(limit, len(self))
        objects, faults = 0, []
        for index in range(number):
            found = self.read(index)
            objects += len(found.names) + len(found.faults)
            faults += [fault for fault in self._told(index, found) if fault.kind != "box-clipped"]
        return Tally(number, objects, faults)

    def _told(self, index: int, found: Objects) -> Iterator[Fault]:
        size, about = self.size(index), (str(self.annotation(index)),)
        boxes = self.scaled(found.boxes, size) if all(size) else found.boxes
        verdicts = judge(boxes, size, slack=self.slack)[1]
        yield from found.faults
        yield from told(verdicts, boxes, [f"image {self.id(index)}, {name}" for name in found.names], size, about)
