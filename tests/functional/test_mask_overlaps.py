"""Pixels that masks share, against every pair in turn."""

import numpy as np
import torch

from segexp.functional.mask_overlaps import mask_areas, mask_overlaps


def rectangles(rng, count, size):
    masks = torch.zeros(count, *size, dtype=torch.bool)
    for mask in masks:
        (y1, y2), (x1, x2) = (sorted(rng.integers(0, n + 1, size=2)) for n in size)
        mask[y1:y2, x1:x2] = True
    return masks


def test_they_are_those_of_every_pair_of_a_class():
    rng = np.random.default_rng(0)
    for _ in range(10):
        predicted, truth = rectangles(rng, 15, (20, 31)), rectangles(rng, 6, (20, 31))
        kinds, labels = (torch.from_numpy(rng.integers(0, 3, size=n)) for n in (15, 6))
        kept = torch.from_numpy(rng.permutation(15)[:12])
        alike = [(d, n) for n in range(6) for d in range(12) if kinds[kept[d]] == labels[n]]
        pairs = [[d, n, int((predicted[kept[d]] & truth[n]).sum())] for d, n in alike]
        found = mask_overlaps(predicted, kept, kinds[kept], truth, labels)
        assert found.dtype == torch.int64
        assert found.tolist() == [row for row in pairs if row[2]]


def test_nothing_shares_nothing():
    none, one = torch.zeros(0, 4, 5, dtype=torch.bool), torch.ones(1, 4, 5, dtype=torch.bool)
    no_labels, label = torch.zeros(0, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    for predicted, kinds, truth, labels in ((none, no_labels, one, label), (one, label, none, no_labels), (one & False, label, one, label)):
        assert mask_overlaps(predicted, torch.arange(len(kinds)), kinds, truth, labels).shape == (0, 3)
    assert mask_areas(none).tolist() == []
    assert mask_areas(one).tolist() == [20]
