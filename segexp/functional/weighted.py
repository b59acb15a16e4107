"""Figures of a data set whose images count more or less than once: what the bootstrap asks of a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segexp.functional.bootstrap import Figure

Record = Mapping[str, Any]  # of one image: statistic -> plain numbers and lists, as `per_image.jsonl` holds them


def column(records: Sequence[Record], name: str) -> np.ndarray:
    """A statistic of all images, float64 [N,...]."""
    return np.array([record[name] for record in records], dtype=np.float64)


def pooled(top: np.ndarray, bottom: np.ndarray, present: np.ndarray | None = None) -> Figure:
    """The mean over classes of a ratio of sums over images; classes without anything below are left out.

    Args:
        top, bottom: float64 [N,K], or [N] where there is one ratio.
        present: float64 [N,K] what says that a class is there, where that isn't `bottom`; its ratio is then top / max(bottom, 1).
    """
    parts = [part.reshape(len(part), -1) for part in (top, bottom, *(() if present is None else (present,)))]
    table = np.concatenate(parts, axis=1)  # [N,2K] or [N,3K]

    def figure(weights: np.ndarray) -> np.ndarray:
        above, below, *there = np.split(weights @ table, len(parts), axis=1)  # [R,K]
        counts = (there[0] if there else below) != 0
        ratio = np.divide(above, np.maximum(below, 1) if there else below, out=np.zeros_like(above), where=counts)
        return mean_of(ratio, counts)

    return figure


Ratio = tuple[np.ndarray, ...]  # top and bottom, each [N,K] or [N]; see `pooled`


def named(figure: str, means: Mapping[str, Ratio], by_class: Mapping[str, Ratio], names: Sequence[str]) -> Figure | None:
    """The ratio that a figure's name stands for; None if it is none of these.

    Args:
        figure: such as `miou` or `iou/road`.
        means: name -> a ratio, or ratios whose mean over classes is the figure.
        by_class: what stands before the slash -> the ratios of the classes.
        names: of the classes.
    """
    if figure in means:
        return pooled(*means[figure])
    kind, _, name = figure.partition("/")
    if kind not in by_class or name not in names:
        return None
    top, bottom = (part[:, list(names).index(name)] for part in by_class[kind])
    return pooled(top, bottom)


def mean_of(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean [R] of the values [R,K] that count; NaN where none does."""
    with np.errstate(invalid="ignore"):
        return np.where(counts, values, 0).sum(1) / counts.sum(1)  # 0 / 0 = NaN


def total(values: np.ndarray) -> Figure:
    """A sum over images of values [N]."""
    return lambda weights: weights @ values


def ranked(scores: np.ndarray, positive: np.ndarray) -> Figure:
    """The mean over classes of the average precision of ranked images; images of equal scores are taken together.

    Args:
        scores: [N,K]; one that is NaN ranks last.
        positive: bool [N,K].
    """
    classes = [_ranking(scores[:, k], positive[:, k]) for k in range(scores.shape[1])]

    def figure(weights: np.ndarray) -> np.ndarray:
        found = np.stack([_average_precision(weights[:, order], *rest) for order, *rest in classes], axis=1)  # [R,K]
        return mean_of(found, np.isfinite(found))

    return figure


def _ranking(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of one class: the images by descending score, which of them are positive, and the last of each score."""
    known = np.nan_to_num(scores, nan=-1.0)
    order = np.argsort(-known, kind="stable")
    ends = np.flatnonzero(np.append(known[order][1:] != known[order][:-1], True))
    return order, positive[order], ends


def _average_precision(weights: np.ndarray, positive: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Of weights [R,N] in order: [R], NaN without a positive."""
    hits, seen = np.cumsum(weights * positive, axis=1)[:, ends], np.cumsum(weights, axis=1)[:, ends]
    gained = np.diff(hits, axis=1, prepend=0)
    with np.errstate(invalid="ignore"):
        return np.divide(gained * hits, seen, out=np.zeros_like(hits), where=seen > 0).sum(1) / hits[:, -1]
