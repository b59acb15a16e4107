"""The most likely class without full-size logits, against upsampling all of them."""

import pytest
import torch
from torch.nn import functional as F

from segexp.functional import argmax
from segexp.functional.argmax import largest, mixed_cells, upsampled_argmax
from segexp.functional.resize import scales, taps, to_size

SIZES = [  # stride, cells, valid size, original size
    (4, (12, 15), (48, 60), (48, 60)),
    (4, (12, 15), (45, 57), (45, 57)),  # padding is cut away
    (8, (6, 9), (45, 70), (45, 70)),
    (2, (20, 25), (40, 50), (40, 50)),
    (4, (12, 15), (45, 57), (101, 77)),  # any ratio
    (16, (4, 5), (64, 80), (97, 193)),
    (4, (12, 15), (48, 60), (31, 29)),  # smaller than the input: a ratio below 2
    (4, (12, 15), (48, 60), (9, 11)),  # smaller than the map
    (1, (13, 17), (13, 17), (13, 17)),  # nothing to resize
    (1, (13, 17), (11, 16), (11, 16)),
    (32, (1, 1), (20, 30), (20, 30)),  # a single cell
    (4, (1, 7), (3, 26), (50, 60)),
]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Small maps through the fast forms, cut into several steps."""
    monkeypatch.setattr(argmax, "FEW", 0)
    monkeypatch.setattr(argmax, "WORKING_SET", 2000)


def smooth(classes, cells, rng):
    coarse = torch.randn(1, classes, 3, 3, generator=rng)
    return F.interpolate(coarse, cells, mode="bicubic")[0] + 0.05 * torch.randn(classes, *cells, generator=rng)


def agrees(found, full):
    """Equal to the largest of full-size logits but where the two highest are equal up to rounding."""
    wanted = full.max(0).indices
    top = full.topk(2, 0).values
    gap = (top[0] - top[1]) / (full.max() - full.min())
    return bool(((found.long() == wanted) | (gap < 1e-5)).all()) and int((found.long() != wanted).sum()) <= 2


@pytest.mark.parametrize("share", [-1.0, 0.6, 1.0], ids=["strips", "as it is", "cells"])
@pytest.mark.parametrize(("stride", "cells", "size", "original"), SIZES)
@pytest.mark.parametrize("classes", [2, 19])
def test_equals_upsampling_all_classes(stride, cells, size, original, classes, share, monkeypatch):
    monkeypatch.setattr(argmax, "MOST_MIXED", share)
    rng = torch.Generator().manual_seed(classes)
    for logits in (smooth(classes, cells, rng), torch.randn(classes, *cells, generator=rng)):
        found = upsampled_argmax(logits, stride, size, original)
        assert (tuple(found.shape), found.dtype) == (original, torch.uint8)
        assert agrees(found, to_size(logits[None], stride, size, original)[0])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_any_layout_and_type(layout, dtype):
    logits = torch.randn(1, 5, 12, 15, generator=torch.Generator().manual_seed(0)).to(dtype).contiguous(memory_format=layout)[0]
    wide = logits.double() if dtype == torch.float64 else logits.float()
    assert agrees(upsampled_argmax(logits, 4, (48, 60)), to_size(wide[None], 4, (48, 60))[0])


def test_a_patchwork_of_ties_takes_the_lowest_class():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randint(0, 2, (6, 12, 15), generator=rng).float()  # many equal values; sums of quarters are exact at stride 4
    found = upsampled_argmax(logits, 4, (48, 60))
    assert torch.equal(found.long(), to_size(logits[None], 4, (48, 60))[0].max(0).indices)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_give_what_torch_gives(bad):
    logits = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(0))
    logits[2, 3, 3:5] = bad
    assert torch.equal(upsampled_argmax(logits, 4, (24, 32)).long(), to_size(logits[None], 4, (24, 32))[0].max(0).indices)


def test_few_values_and_many_give_the_same(monkeypatch):
    logits = torch.randn(5, 6, 8, generator=torch.Generator().manual_seed(0))
    fast = upsampled_argmax(logits, 4, (24, 32))
    monkeypatch.setattr(argmax, "FEW", 10**9)
    assert torch.equal(upsampled_argmax(logits, 4, (24, 32)), fast)


@pytest.mark.parametrize(("classes", "dtype"), [(1, torch.uint8), (256, torch.uint8), (257, torch.int64), (400, torch.int64)])
def test_largest_is_argmax(classes, dtype):
    planes = torch.randint(0, 50, (classes, 7, 11), generator=torch.Generator().manual_seed(0)).float()  # with ties
    found = largest(planes)
    assert found.dtype == dtype
    assert torch.equal(found.long(), (planes == planes.amax(0)).byte().argmax(0))  # the first at which the maximum stands


def test_largest_of_the_last_class():
    planes = torch.zeros(300, 2, 2)
    planes[299, 0, 1] = 1
    assert largest(planes).tolist() == [[0, 299], [0, 0]]


def test_mixed_cells_by_hand():
    classes = torch.tensor([[0, 0, 1], [0, 0, 1]], dtype=torch.uint8)
    ratios = scales(4, (8, 12), (8, 12))
    rows, columns = taps(8, 2, ratios[0]), taps(12, 3, ratios[1])
    # gaps across: left of the first centre, 0-0, 0-1, right of the last
    assert mixed_cells(classes, rows, columns).tolist() == [[False, False, True, False]] * 3
    assert mixed_cells(classes, rows, taps(6, 3, 4.0)).shape == (3, 2)  # the right half is cut away


@pytest.mark.parametrize("share", [-1.0, 1.0], ids=["strips", "cells"])
def test_logits_in_training_are_taken_too(share, monkeypatch):
    monkeypatch.setattr(argmax, "MOST_MIXED", share)
    logits = torch.randn(5, 12, 15, generator=torch.Generator().manual_seed(0))
    found = upsampled_argmax(logits.clone().requires_grad_(), 4, (48, 60))
    assert torch.equal(found, upsampled_argmax(logits, 4, (48, 60)))
    assert torch.equal(largest(logits.clone().requires_grad_()), largest(logits))
