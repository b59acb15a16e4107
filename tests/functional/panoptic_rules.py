"""The rules of panoptic quality, written out segment by segment: what tests and the benchmark compare with."""

from collections import defaultdict

import numpy as np
from scipy import ndimage

SHIFT = 2**24  # the official offset of joint ids


def near_contour(mask, distance):
    """The mask less its erosion by a square, zeros around the image."""
    eroded = ndimage.binary_erosion(np.pad(mask, 1), np.ones((3, 3), dtype=bool), iterations=distance, border_value=1)
    return mask & ~eroded[1:-1, 1:-1]


def shared_pixels(truth, predicted):
    values, counts = np.unique(truth.astype(np.uint64) * SHIFT + predicted.astype(np.uint64), return_counts=True)
    return {(int(v) // SHIFT, int(v) % SHIFT): int(n) for v, n in zip(values, counts, strict=True)}


def pixels(ids):
    return {int(i): int(n) for i, n in zip(*np.unique(ids, return_counts=True), strict=True)}


def statistics(truth, real, predicted, guess, distance=None):
    """Figures of one image, by class: {class: [iou, tp, fp, fn]}.

    `real` is {id: (class, crowd)}, `guess` {id: class}; 0 is void. With a `distance`, those of boundary PQ.
    """
    found = defaultdict(lambda: [0.0, 0, 0, 0])
    both = shared_pixels(truth, predicted)
    sizes, guessed = pixels(truth), pixels(predicted)
    taken_real, taken_guess = set(), set()
    for (i, j), n in both.items():
        if i not in real or j not in guess or real[i][1] or real[i][0] != guess[j]:
            continue
        iou = n / (sizes[i] + guessed[j] - n - both.get((0, j), 0))
        if distance is not None:
            a, b = near_contour(truth == i, distance), near_contour(predicted == j, distance)
            union = a.sum() + b.sum() - (a & b).sum() - (b & (truth == 0)).sum()
            iou = min(iou, int((a & b).sum()) / int(union))
        if iou > 0.5:
            found[guess[j]][0] += iou
            found[guess[j]][1] += 1
            taken_real.add(i)
            taken_guess.add(j)
    crowds = {}
    for i, (kind, crowd) in real.items():
        if i in taken_real:
            continue
        if crowd:
            crowds[kind] = i
        else:
            found[kind][3] += 1
    for j, kind in guess.items():
        if j in taken_guess or j not in guessed:
            continue
        excused = both.get((0, j), 0) + (both.get((crowds[kind], j), 0) if kind in crowds else 0)
        if excused / guessed[j] <= 0.5:
            found[kind][2] += 1
    return dict(found)


def quality(images, classes):
    """PQ, SQ and RQ over `classes` of many images' statistics, and how many classes there are; NaN where there is none."""
    total = defaultdict(lambda: np.zeros(4))
    for image in images:
        for kind, values in image.items():
            total[kind] += values
    rows = []
    for kind in classes:
        iou, tp, fp, fn = total[kind]
        if tp + fp + fn:
            weight = tp + 0.5 * fp + 0.5 * fn
            rows.append((iou / weight, iou / tp if tp else 0.0, tp / weight))
    return (*np.mean(rows, axis=0).tolist(), len(rows)) if rows else (float("nan"),) * 3 + (0,)
