"""What is taken for what: the confusion matrix of an evaluation, as a table, as a picture, and as a list of the worst."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segexp.report.record import RunRecord, section

MAX_TABLE = 24  # classes; more are drawn as a picture
MAX_LISTED = 12
LISTED_FROM = 0.005  # share of a class's pixels


@dataclass(frozen=True)
class Cell:
    """Pixels or images of one class that were predicted as another; `share` is of the row."""

    count: int
    share: float
    right: bool


@dataclass(frozen=True)
class Mistake:
    """A class that is taken for another."""

    truth: str
    predicted: str
    share: float  # of the true class's pixels or images
    count: int


@dataclass(frozen=True)
class Confusion:
    """One split's matrix; of many classes as `picture` (a data URI) instead of `rows`."""

    split: str
    classes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    picture: str
    mistakes: tuple[Mistake, ...]
    unit: str = "pixels"  # or images: what is counted


def confusions(record: RunRecord) -> list[Confusion]:
    """The matrices that a run's `confusion.json` holds, val before test; those that don't fit their classes are left out."""
    order = sorted(record.confusion, key=lambda split: (split != "val", split))
    found = [_confusion(split, section(record.confusion[split])) for split in order]
    return [matrix for matrix in found if matrix is not None]


def _confusion(split: str, stored: dict[str, Any]) -> Confusion | None:
    names = [str(name) for name in stored.get("classes", ())]
    try:
        counts = np.asarray(stored.get("counts", ()), dtype=np.int64)
    except (TypeError, ValueError):
        return None
    if counts.shape != (len(names), len(names)) or not counts.any():
        return None
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    small = len(names) <= MAX_TABLE
    return Confusion(
        split=split,
        classes=tuple(names),
        rows=tuple(_rows(names, counts, shares)) if small else (),
        picture="" if small else _picture(shares),
        mistakes=tuple(_worst(names, counts, shares)),
        unit=str(stored.get("of", "pixels")),
    )


def _rows(names: Sequence[str], counts: np.ndarray, shares: np.ndarray) -> list[tuple[str, tuple[Cell, ...]]]:
    found = []
    for i, name in enumerate(names):
        found.append((name, tuple(Cell(int(counts[i, j]), float(shares[i, j]), i == j) for j in range(len(names)))))
    return found


def _worst(names: Sequence[str], counts: np.ndarray, shares: np.ndarray) -> list[Mistake]:
    """The largest shares off the diagonal."""
    off = np.where(np.eye(len(names), dtype=bool), 0, shares)
    order = np.argsort(-off, axis=None, kind="stable")[:MAX_LISTED]
    pairs = [divmod(int(place), len(names)) for place in order]
    return [Mistake(names[i], names[j], float(off[i, j]), int(counts[i, j])) for i, j in pairs if off[i, j] >= LISTED_FROM]


def _picture(shares: np.ndarray) -> str:
    """Dark for rare, bright for common, by the square root, so that rare mistakes show: a PNG as a data URI."""
    from PIL import Image

    scale = max(2, 720 // len(shares))
    grey = np.kron((255 * np.sqrt(shares)).astype(np.uint8), np.ones((scale, scale), np.uint8))
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
