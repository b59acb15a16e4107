"""Confusion counts against a loop."""

import pytest
import torch
from torchmetrics.functional.classification import multiclass_confusion_matrix

from segexp.functional.argmax import largest
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


@pytest.mark.parametrize("classes", [2, 19, 127, 150])
def test_equals_torchmetrics_with_void_and_absent_classes(classes):
    rng = torch.Generator().manual_seed(classes)
    half = max(classes // 2, 1)  # the others are absent
    truth = torch.randint(0, half, (37, 53), generator=rng)
    predicted = torch.randint(0, half, (37, 53), generator=rng)
    truth[:9] = 255
    wanted = multiclass_confusion_matrix(predicted, truth, classes, ignore_index=255)
    for dtype in (torch.uint8, torch.int64):
        assert torch.equal(confusion_matrix(predicted.to(dtype), truth.to(dtype), classes, 255), wanted)


def test_from_full_size_logits_equals_torchmetrics():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randint(0, 9, (1, 19, 33, 41), generator=rng).float()  # with ties
    truth = torch.randint(0, 19, (1, 33, 41), generator=rng)
    truth[:, 20:] = 255
    wanted = multiclass_confusion_matrix(logits, truth, 19, ignore_index=255)
    assert torch.equal(confusion_matrix(largest(logits[0]), truth[0], 19, 255), wanted)
