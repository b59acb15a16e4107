"""Masks as COCO's text of run lengths."""

from __future__ import annotations

from typing import Any

import numpy as np

BITS, MOST = 5, 7  # of a letter; letters of a number


def encoded(mask: np.ndarray) -> dict[str, Any]:
    """A mask bool [H,W] as {size, counts}, `counts` the text that COCO's tools write and read."""
    values = np.concatenate([[False], mask.ravel(order="F").astype(bool)])
    edges = np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]), [mask.size]])  # the first run is outside
    return {"size": list(mask.shape), "counts": text_of(np.diff(edges))}


def text_of(counts: np.ndarray) -> str:
    """Run lengths as text: from the fourth on what each differs by from the last but one, five bits a letter, low ones first."""
    numbers = counts.astype(np.int64)
    numbers[3:] -= counts[1:-2]
    shifted = numbers[:, None] >> (BITS * np.arange(MOST + 1))  # [N,MOST+1]
    rest, sign = shifted[:, 1:], (shifted[:, :-1] & 16) > 0
    ends = np.where(sign, rest == -1, rest == 0)  # [N,MOST]: nothing but the sign is left
    last = ends.argmax(1)[:, None]
    at = np.arange(MOST)
    letters = (shifted[:, :-1] & 31) + np.where(at < last, 32, 0) + 48
    return letters[at <= last].astype(np.uint8).tobytes().decode()
