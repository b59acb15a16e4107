"""What the pictures of a JSON are called: by their stem, and by more of their path where that names several."""

from __future__ import annotations

import posixpath

import numpy as np

STEM, PATH, WHOLE = range(3)


def called(name: str, level: int) -> str:
    """A picture's file name as the name of its sample.

    Args:
        name: relative to the folder of pictures.
        level: `STEM`, `PATH` (with the folders, without the ending) or `WHOLE`.
    """
    path = posixpath.normpath(name).lstrip("/")
    if level == WHOLE:
        return path
    plain = posixpath.splitext(path)[0]
    return plain if level == PATH else posixpath.basename(plain)


def levels(names: np.ndarray) -> np.ndarray:
    """How much of each file name it takes to tell the picture from all others: uint8 [N], one byte a picture.

    Args:
        names: bytes [N].
    """
    found = np.zeros(len(names), np.uint8)
    for level in (STEM, PATH):
        rows = np.flatnonzero(found == level)
        texts = np.array([called(names[i].decode(), level).encode() for i in rows.tolist()], np.bytes_)
        _, places, counts = np.unique(texts, return_inverse=True, return_counts=True)
        found[rows[counts[places] > 1]] = level + 1
    return found
