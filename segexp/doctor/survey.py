"""How many pixels of each class each image has: for balanced sampling, class weights and choosing samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segexp.doctor.findings import ERROR
from segexp.doctor.scan import Progress, scan
from segexp.errors import DataError


@dataclass(frozen=True)
class Survey:
    """One split, counted.

    Args:
        ids: of the samples, text [N].
        pixels: of each class in each image, int64 [N,K]; of a set without masks the areas of boxes, or of whole pictures.
    """

    ids: np.ndarray
    pixels: np.ndarray


def survey(
    dataset: Any, split: str, cache: Path | None = None, *, workers: int = 0, limit: int | None = None, progress: Progress | None = None
) -> Survey:
    """Count the pixels of each class in each image of a split; the same scan serves `segexp data check`.

    Args:
        dataset: with `spec` and `open`.
        split: the name of a split with labels.
        cache: a folder for what was read before (`<paths.outputs>/.cache`); None reads all.
        workers: processes that read.
        limit: only the first so many images.
        progress: is told how far it is.

    Raises:
        DataError: a sample can't be read; names the first.
    """
    found = scan(dataset, split, cache=cache, workers=workers, limit=limit, progress=progress)
    if not found.rows["read"].all():
        first = found.split.id(int(np.argmin(found.rows["read"])))
        why = next((f for f in found.findings if f.id == first and f.severity == ERROR), None)
        what = f"{int((~found.rows['read']).sum())} samples of {split} can't be read" + (f", the first: {why.what}" if why else "")
        where = " and ".join(why.paths) if why and why.paths else first
        raise DataError(what, where=where, fix="segexp data check tells of each what is wrong")
    return Survey(np.array([found.split.id(i) for i in range(len(found.rows))]), found.rows["pixels"])
