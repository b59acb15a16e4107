"""What is wrong with the segments of one image: its JSON held against its PNG. Reading a sample refuses what the doctor calls errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segexp.data.coco_json import NO_NUMBER, UNKNOWN, Fault, Record
from segexp.functional.images import read_labels
from segexp.functional.panoptic_png import LARGEST, grey_fault, numbered, read_ids, tight_boxes

# with these a sample can be used all the same
LENIENT = frozenset({"segment-box", "stuff-crowd", "stuff-twice", "unannotated"})
MOST = 5  # segments that are named of one kind and image


class Read(NamedTuple):
    """The segments of one image.

    `numbers` int32 [H,W], s + 1 where the PNG has the id of segment s; `areas` int64 [S] by the PNG; `faults` in the order of
    what to mend first.
    """

    numbers: np.ndarray
    areas: np.ndarray
    faults: list[Fault]


class Known(NamedTuple):
    """The categories of a data set: number -> class id, and whether a class id is a thing."""

    classes: Mapping[int, int]
    things: frozenset[int]


def read_segments(path: Path, record: Record, image: str, known: Known, size: tuple[int, ...] | None = None, *, boxes: bool = True) -> Read:
    """Hold what the JSON says of an image against its PNG.

    Args:
        path: the PNG.
        record: what the JSON says.
        image: id of the image.
        known: the categories.
        size: (height, width) that the JSON gives the image; None where it gives none.
        boxes: compare these, too.

    Raises:
        DataError: the PNG can't be read.
    """
    about = (str(path),)
    grey = grey_fault(path, record.ids)
    ids = np.zeros_like(read_labels(path).numpy(), np.int32) if grey else read_ids(path)
    faults = list(_of_record(record, image, known))
    if size is not None and ids.shape != tuple(size):
        faults.append(Fault("json-size", f"image {image}: the JSON says {_text(size)}, the PNG is {_text(ids.shape)}"))
    numbers, strangers = numbered(ids, record.ids)
    areas = np.bincount(numbers.ravel(), minlength=len(record.ids) + 1)[1:]
    if grey:
        faults.append(Fault("grey-ids", f"image {image}: {grey}"))
    else:
        if strangers:
            faults += _strangers(ids, numbers, image)
        faults += _of_pixels(record, numbers, areas, image, boxes)
    return Read(numbers, areas, [fault._replace(paths=about) for fault in faults])


def _of_record(record: Record, image: str, known: Known) -> Iterator[Fault]:
    """What the JSON alone tells."""
    ids = record.ids.tolist()
    for number in sorted({n for n in ids if ids.count(n) > 1} if len(set(ids)) < len(ids) else ()):
        yield Fault("segment-twice", f"image {image}, segment {number}: listed {ids.count(number)} times; segments don't overlap")
    stuff: dict[int, list[int]] = {}
    for number, category, crowd in zip(ids, record.categories.tolist(), record.crowd.tolist(), strict=True):
        where = f"image {image}, segment {number}"
        if not 0 < number < LARGEST:
            yield Fault("segment-id", f"{where}: an id is a whole number from 1 to {LARGEST - 1}; 0 is void")
        class_id = known.classes.get(category)
        if class_id is None:
            yield Fault("segment-category", f"{where}: {unknown(category)}")
        elif class_id not in known.things:
            if crowd == 1:
                yield Fault("stuff-crowd", f"{where}: a crowd of category {category}, which is stuff")
            group = stuff.setdefault(category, [])
            group += [number] * (number not in group)
        if crowd < 0:
            yield Fault("segment-crowd", f"{where}: iscrowd is neither 0 nor 1")
    for category, group in stuff.items():
        if len(group) > 1:
            yield Fault("stuff-twice", f"image {image}, segments {_some(group)}: all are of category {category}, which is stuff")


def unknown(category: int) -> str:
    """What is said of a category of a `Record` that the data set hasn't."""
    if category == NO_NUMBER:
        return "its category_id is no whole number"
    return "no category" if category == UNKNOWN else f"category {category}, which isn't among the categories"


def _strangers(ids: np.ndarray, numbers: np.ndarray, image: str) -> Iterator[Fault]:
    values, pixels = np.unique(ids[(numbers == 0) & (ids != 0)], return_counts=True)
    for number, count in list(zip(values.tolist(), pixels.tolist(), strict=True))[:MOST]:
        yield Fault("segment-unlisted", f"image {image}, segment {number}: in {count} pixels of the PNG, and not in the JSON")
    if len(values) > MOST:
        yield Fault("segment-unlisted", f"image {image}: {len(values) - MOST} more segments of the PNG aren't in the JSON")


def _of_pixels(record: Record, numbers: np.ndarray, areas: np.ndarray, image: str, compare: bool) -> Iterator[Fault]:
    first = {number: place for place, number in reversed(list(enumerate(record.ids.tolist())))}
    single = [place for place, number in enumerate(record.ids.tolist()) if len(first) == len(record.ids) or first[number] == place]
    odd = np.zeros(len(areas), bool)
    odd[single] = True  # of an id that is listed twice nothing else is told
    empty = odd & (areas == 0) & (record.ids > 0)
    for place in np.flatnonzero(empty).tolist():
        if len(first) == len(record.ids):
            yield Fault("segment-missing", f"image {image}, segment {record.ids[place]}: in the JSON, and in no pixel of the PNG")
    there = odd & (areas > 0)
    wrong = there & ~np.isnan(record.areas) & (record.areas != areas)
    for place in np.flatnonzero(wrong).tolist():
        said = f"the JSON gives the area {record.areas[place]:.0f}, the PNG has {areas[place]} pixels"
        yield Fault("segment-area", f"image {image}, segment {record.ids[place]}: {said}")
    given = there & ~np.isnan(record.boxes).any(1)
    if compare and given.any():
        boxes = tight_boxes(numbers, len(areas))
        for place in np.flatnonzero(given & (record.boxes != boxes).any(1)).tolist():
            said = f"the JSON gives the box {record.boxes[place].astype(int).tolist()}, the PNG has {boxes[place].tolist()}"
            yield Fault("segment-box", f"image {image}, segment {record.ids[place]}: {said} (x, y, width, height)")


def _some(ids: list[int]) -> str:
    return ", ".join(map(str, ids[:MOST])) + (f" and {len(ids) - MOST} more" if len(ids) > MOST else "")


def _text(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]} (width x height)"


def listed(faults: Iterable[Fault], most: int = 4) -> str:
    """Several faults in one line."""
    found = [fault.what for fault in faults]
    return "; ".join(found[:most]) + (f"; and {len(found) - most} more" if len(found) > most else "")
