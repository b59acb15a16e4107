"""Panoptic quality of one image from its statistics."""

from __future__ import annotations

from collections.abc import Sequence


def mean_pq(matches: Sequence[Sequence[int]], wrong: Sequence[int], missed: Sequence[int]) -> float | None:
    """Mean PQ over the classes that an image or its prediction holds a segment of; None where there is none.

    Args:
        matches: (class, intersection, union) of each match.
        wrong, missed: segments of each class without a match.
    """
    iou, weight = [0.0] * len(wrong), [(w + m) / 2 for w, m in zip(wrong, missed, strict=True)]
    for label, both, union in matches:
        iou[label] += both / union
        weight[label] += 1
    found = [i / w for i, w in zip(iou, weight, strict=True) if w > 0]
    return sum(found) / len(found) if found else None
