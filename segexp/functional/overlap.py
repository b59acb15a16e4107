"""Figures of one image from its counts per class."""

from __future__ import annotations

from collections.abc import Sequence


def mean_iou(intersection: Sequence[int], predicted: Sequence[int], labelled: Sequence[int]) -> float | None:
    """Mean IoU over the classes that an image or its prediction holds; None where there is none.

    Args:
        intersection, predicted, labelled: pixels of each class.
    """
    triples = zip(intersection, predicted, labelled, strict=True)
    ious = [hit / (p + t - hit) for hit, p, t in triples if p + t > 0]
    return sum(ious) / len(ious) if ious else None
