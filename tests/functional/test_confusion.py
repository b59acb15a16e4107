"""Confusion counts against a loop."""

import pytest
import torch

from segexp.functional.confusion import confusion_matrix


@pytest.mark.parametrize(("classes", "ignore"), [(2, 255), (19, 255), (133, 255), (200, 255), (11, 4), (300, 255)])
def test_equals_counting_one_by_one(classes, ignore):
    rng = torch.Generator().manual_seed(classes)
    dtype = torch.uint8 if classes <= 255 else torch.int64
    truth = torch.randint(0, classes, (13, 17), generator=rng)
    truth[torch.rand(13, 17, generator=rng) < 0.2] = ignore
    predicted = torch.randint(0, classes, (13, 17), generator=rng)
    wanted = torch.zeros(classes, classes, dtype=torch.int64)
    for t, p in zip(truth.flatten().tolist(), predicted.flatten().tolist(), strict=True):
        if t != ignore:
            wanted[t, p] += 1
    found = confusion_matrix(predicted.to(dtype), truth.to(dtype), classes, ignore)
    assert torch.equal(found, wanted)


def test_large_counts_stay_exact():
    found = confusion_matrix(torch.ones(2048, 9000, dtype=torch.uint8), torch.ones(2048, 9000, dtype=torch.uint8), 2, 255)
    assert found[1, 1] == 2048 * 9000  # above 2^24, where float32 would round
