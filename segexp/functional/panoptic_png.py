"""Segment ids as the colours of a PNG, R + 256 G + 65536 B, 0 = void: the panoptic format of COCO and of many others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from segexp.functional.files import write_atomic
from segexp.functional.images import holds_colors, read_colors, read_labels

LARGEST = 1 << 24  # one above the largest id
GREY = 256  # a grey file can't tell more values
INSTANCES = 1000  # of Cityscapes: an instance's value is label id x 1000 + its number; below, it is a label id alone


def read_ids(path: Path) -> np.ndarray:
    """Ids int32 [H,W] of a colour PNG.

    A grey file is taken as three equal channels, as an optimiser of PNG writes them; `grey_fault` says what is wrong otherwise.

    Raises:
        DataError: unreadable, lossy, or of more than 8 bit a channel.
    """
    rgb = read_colors(path).numpy()  # R * 65536 + G * 256 + B
    return (rgb >> 16) | (rgb & 0xFF00) | ((rgb & 0xFF) << 16)


def label_ids(values: np.ndarray) -> np.ndarray:
    """The label ids of Cityscapes' instance values, of any shape."""
    return np.where(values >= INSTANCES, values // INSTANCES, values)


def pack_ids(ids: np.ndarray) -> np.ndarray:
    """Ids as colours uint8 [H,W,3]; every step in 64 bit.

    Raises:
        ValueError: an id doesn't fit 24 bit.
    """
    wide = ids.astype(np.int64)
    if wide.size and not 0 <= int(wide.min()) <= int(wide.max()) < LARGEST:
        raise ValueError(f"segment ids {wide.min()}..{wide.max()}; a panoptic PNG holds 0..{LARGEST - 1}")
    return np.stack([wide & 255, wide >> 8 & 255, wide >> 16], -1).astype(np.uint8)


def write_ids(path: Path, ids: np.ndarray) -> None:
    """Write ids [H,W] as a colour PNG, whole or not at all.

    Raises:
        ValueError: an id doesn't fit 24 bit.
    """
    image = Image.fromarray(pack_ids(ids))
    write_atomic(path, lambda file: image.save(file, format="PNG", compress_level=3))


def numbered(ids: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, bool]:
    """Segment numbers of an id map.

    Args:
        ids: int32 [H,W], 0..2^24-1.
        known: the ids [S] of the segments, in their order.

    Returns:
        int32 [H,W] with s + 1 where the id is `known[s]`, else 0; and whether an id other than 0 isn't known.
    """
    table = np.zeros(LARGEST, np.int32)  # pages that nobody touches take no memory
    inside = (known > 0) & (known < LARGEST)
    table[known[inside]] = np.flatnonzero(inside) + 1
    numbers = table[ids]
    return numbers, bool(((numbers == 0) & (ids != 0)).any())


def tight_boxes(numbers: np.ndarray, count: int) -> np.ndarray:
    """Boxes (x, y, width, height) of segments 1..count of a map [H,W]: int64 [count,4]; zeros where a segment has no pixel."""
    height, width = numbers.shape
    rows, columns = np.zeros((height, count + 1), bool), np.zeros((width, count + 1), bool)
    rows[np.arange(height)[:, None], numbers] = True
    columns[np.arange(width)[None], numbers] = True
    if not count or not numbers.size:
        return np.zeros((count, 4), np.int64)
    rows, columns = rows[:, 1:], columns[:, 1:]
    y1, x1 = rows.argmax(0), columns.argmax(0)
    y2, x2 = height - rows[::-1].argmax(0), width - columns[::-1].argmax(0)
    return np.stack([x1, y1, x2 - x1, y2 - y1], 1) * np.any(rows, axis=0, keepdims=True).T


def grey_fault(path: Path, known: np.ndarray) -> str:
    """What is wrong with a grey file where segment ids are meant; nothing where its greys, as three equal channels, are the ids.

    Args:
        path: the file.
        known: the ids [S] that it should hold.

    Raises:
        DataError: missing, or not an image.
    """
    if path.suffix.lower() == ".npy" or holds_colors(path) or _palette(path):
        return ""
    values = np.unique(read_labels(path).numpy()).astype(np.int64)
    if np.isin(values * 0x010101, [0, *known.tolist()]).all():
        return ""
    lost = known[known >= GREY]
    if np.isin(values, [0, *known.tolist()]).all():
        return "a grey PNG that holds the ids as values; R + 256 G + 65536 B in three channels is meant"
    if len(lost) and np.isin(values, [0, *(known % GREY).tolist()]).all():
        return f"a grey PNG: ids were cut to 8 bit, such as {lost[0]} to {lost[0] % GREY}"
    return "a grey PNG where ids as R + 256 G + 65536 B are meant"


def _palette(path: Path) -> bool:
    with Image.open(path) as image:
        return image.mode == "P"
