"""The JSON of COCO's annotations, parsed once and kept as a few arrays: a million objects aren't a million Python objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segexp.data.coco_categories import Category, parse_categories
from segexp.errors import DataError

UNKNOWN = -1  # an id, category or crowd flag that isn't there, or isn't a number
NO_NUMBER = -(1 << 62)  # a category that is there, and is no whole number


class Fault(NamedTuple):
    """Something that is wrong with annotations; `kind` is one of the data doctor's."""

    kind: str
    what: str  # in one line, with the ids of the image and of the segment
    paths: tuple[str, ...] = ()


class Record(NamedTuple):
    """What the JSON says of the segments, or objects, of one image; arrays of one length S."""

    ids: np.ndarray  # int64
    categories: np.ndarray  # int64, the data set's own numbers
    crowd: np.ndarray  # int8; -1 where it is neither 0 nor 1
    areas: np.ndarray  # float64, NaN where there is none
    boxes: np.ndarray  # float64 [S,4] x, y, width, height; NaN where there is none


@dataclass(frozen=True)
class Annotations:
    """One JSON: `images` [N] and their segments or objects [M], in the order of the images.

    `ids` image ids as text; `texts` which of them are texts in the JSON, too, such as "0001"; `names` file names; `labels` names of
    the PNG, empty where there is none; `annotated` whether the image has an annotation; `sizes` int32 [N,2] (height, width), 0
    unknown; `start` int64 [N+1] offsets into the segments; `text` the `segmentation` of each object as JSON (uint8), with offsets
    `text_start`; `faults` of the file as a whole.
    """

    path: Path
    ids: np.ndarray
    texts: np.ndarray
    names: np.ndarray
    labels: np.ndarray
    annotated: np.ndarray
    sizes: np.ndarray
    start: np.ndarray
    segments: Record
    text: np.ndarray
    text_start: np.ndarray
    faults: tuple[Fault, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def record(self, index: int) -> Record:
        """The segments of an image."""
        part = slice(int(self.start[index]), int(self.start[index + 1]))
        return Record(*(column[part] for column in self.segments))

    def segmentations(self, index: int) -> list[Any]:
        """The `segmentation` of each object of an image: polygons, or a dict of run lengths, or None."""
        return [self.segmentation(place) for place in range(int(self.start[index]), int(self.start[index + 1]))]

    def segmentation(self, place: int) -> Any:
        """That of an object, by its place among those of all images."""
        return json.loads(self.text[self.text_start[place] : self.text_start[place + 1]].tobytes())

    def content(self, index: int) -> bytes:
        """All that the file says of an image, to tell whether it has changed."""
        part = [column.tobytes() for column in self.record(index)]
        first, last = (self.text_start[self.start[index + k]] for k in (0, 1)) if len(self.text_start) > 1 else (0, 0)
        return b"".join([self.ids[index], self.labels[index], self.sizes[index].tobytes(), *part, self.text[first:last].tobytes()])


def read_categories(path: Path) -> tuple[Category, ...]:
    """The categories of a JSON, in its order.

    Raises:
        DataError: unreadable, or categories that lack an id or a name, or have those of another.
    """
    return _categories(path, *_state(path))


def read_annotations(path: Path) -> Annotations:
    """The images and annotations of a JSON; parsed once in a process as long as the file stays the same.

    Raises:
        DataError: missing, no JSON, or not of COCO's form.
    """
    return _packed(path, *_state(path))


def _numbers(value: Any, count: int) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == count and all(_number(item) for item in value)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _state(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        raise DataError("the annotations are missing", where=str(path), fix="restore the file, or name the right one") from None
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=1)  # categories and annotations are usually asked for one after the other
def _loaded(path: Path, size: int, changed: int) -> dict[str, Any]:
    try:
        plain = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"not valid JSON: {error}", where=str(path), fix="restore the file") from None
    if not isinstance(plain, dict) or not isinstance(plain.get("images"), list):
        raise DataError("not of COCO's form: it has no list of images", where=str(path), fix="{images: [...], annotations: [...], ...}")
    return plain


@lru_cache(maxsize=8)
def _categories(path: Path, size: int, changed: int) -> tuple[Category, ...]:
    return parse_categories(_loaded(path, size, changed).get("categories"), str(path))


@lru_cache(maxsize=8)
def _packed(path: Path, size: int, changed: int) -> Annotations:
    plain = _loaded(path, size, changed)
    try:
        return _pack(path, plain)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise DataError(f"not of COCO's form: {type(error).__name__} {error}", where=str(path), fix="see the format of COCO") from None
    finally:
        _loaded.cache_clear()  # the parsed text is many times larger than the arrays


def _pack(path: Path, plain: dict[str, Any]) -> Annotations:
    faults: list[Fault] = []
    images = _images(plain["images"], faults)
    groups = _grouped(plain.get("annotations") or [], images, faults)
    lengths = [len(groups[number][1]) if number in groups else 0 for number in images]
    rows = [item for number in images if number in groups for item in groups[number][1]]
    sizes = [[_whole(entry.get(side), 0) for side in ("height", "width")] for entry in images.values()]
    panoptic = any("segments_info" in entry for entry in plain.get("annotations") or [])
    texts = [] if panoptic else [json.dumps(item.get("segmentation"), separators=(",", ":")).encode() for item in rows]
    return Annotations(
        path=path,
        ids=_bytes(map(str, images)),
        texts=np.array([isinstance(number, str) for number in images], bool),
        names=_bytes(entry["file_name"] for entry in images.values()),
        labels=_bytes(groups[number][0] if number in groups else "" for number in images),
        annotated=np.array([number in groups for number in images], bool),
        sizes=np.array(sizes, np.int32).reshape(-1, 2),
        start=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        segments=_record(rows),
        text=np.frombuffer(b"".join(texts), np.uint8),
        text_start=np.cumsum([0, *map(len, texts)], dtype=np.int64),
        faults=tuple(fault._replace(paths=(str(path),)) for fault in faults),
    )


def _images(listed: list[Any], faults: list[Fault]) -> dict[Any, dict[str, Any]]:
    found: dict[Any, dict[str, Any]] = {}
    for place, entry in enumerate(listed):
        number = entry.get("id")
        if not isinstance(number, (int, str)) or not isinstance(entry.get("file_name"), str):
            faults.append(Fault("json-entry", f"entry {place + 1} of images has no id, or no file_name: {str(entry)[:80]}"))
        elif number in found:
            names = f"{found[number]['file_name']} and {entry['file_name']}"
            faults.append(Fault("json-image-twice", f"image {number} is listed twice: {names}"))
        else:
            found[number] = entry
    return found


def _grouped(listed: list[Any], images: Mapping[Any, Any], faults: list[Fault]) -> dict[Any, tuple[str, list[dict[str, Any]]]]:
    """Image id -> (name of the PNG, entries of its segments or objects); one entry per image, or one per object."""
    found: dict[Any, tuple[str, list[dict[str, Any]]]] = {}
    panoptic = any("segments_info" in entry for entry in listed)
    for place, entry in enumerate(listed):
        number = entry.get("image_id")
        own = f"annotation {entry.get('id', place + 1)}"
        if number not in images:
            faults.append(Fault("json-no-image", f"{own} is of image {number}, which isn't among the images"))
        elif not panoptic:
            found.setdefault(number, ("", []))[1].append(entry)
        elif number in found:
            faults.append(Fault("json-annotation-twice", f"image {number} has two annotations; the first counts"))
        elif not isinstance(entry.get("segments_info"), list) or not isinstance(entry.get("file_name"), str):
            faults.append(Fault("json-entry", f"the annotation of image {number} has no file_name, or its segments_info is no list"))
        else:
            infos = entry["segments_info"]
            found[number] = (entry["file_name"], [item for item in infos if isinstance(item, dict)])
            for place, item in ((place, item) for place, item in enumerate(infos, 1) if not isinstance(item, dict)):
                what = f"entry {place} of segments_info is no segment with id and category_id: {str(item)[:80]}"
                faults.append(Fault("json-entry", f"image {number}: {what}"))
    return found


def _record(rows: Sequence[Mapping[str, Any]]) -> Record:
    boxes = (row.get("bbox") for row in rows)
    flat = [value if _numbers(value, 4) else [np.nan] * 4 for value in boxes]
    crowd = (row.get("iscrowd", 0) for row in rows)
    numbers = (row.get("category_id") for row in rows)
    return Record(
        ids=np.array([_whole(row.get("id")) for row in rows], np.int64),
        categories=np.array([_whole(value, UNKNOWN if value is None else NO_NUMBER) for value in numbers], np.int64),
        crowd=np.array([int(value) if value in (0, 1) else UNKNOWN for value in crowd], np.int8),
        areas=np.array([row["area"] if _number(row.get("area")) else np.nan for row in rows], np.float64),
        boxes=np.array(flat, np.float64).reshape(-1, 4),
    )


def _whole(value: Any, other: int = UNKNOWN) -> int:
    return value if type(value) is int and abs(value) < 1 << 62 else other


def _bytes(texts: Iterable[str]) -> np.ndarray:
    found = [text.encode() for text in texts]
    return np.array(found, np.bytes_) if found else np.zeros(0, "S1")
