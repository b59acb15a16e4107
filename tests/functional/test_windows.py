"""One resample against doing it step by step."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors

from segexp.functional.windows import Window, resample, resample_boxes, resample_image, resample_labels

WINDOWS = st.builds(
    lambda top, left, height, width, h, w, flip: Window(top, left, height, width, (h, w), flip),
    st.integers(0, 10),
    st.integers(0, 12),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 40),
    st.integers(1, 40),
    st.booleans(),
)


def slow_nearest(labels, window):
    """The rule spelled out: the source pixel under the centre of each target pixel."""
    h, w = window.size
    out = np.zeros((h, w), labels.dtype)
    for i in range(h):
        for j in range(w):
            y = window.top + floor((i + Fraction(1, 2)) * window.height / h)
            x = window.left + floor((j + Fraction(1, 2)) * window.width / w)
            out[i, w - 1 - j if window.flip else j] = labels[y, x]
    return out


@settings(max_examples=200, deadline=None)
@example(Window(0, 0, 1, 18, (1, 33)), 0)  # a centre exactly on an edge
@given(WINDOWS, st.integers(0, 2**31 - 1))
def test_labels_are_taken_from_under_each_centre_and_none_is_invented(window, seed):
    source = np.random.default_rng(seed).choice([0, 7, 255, 2**24 + 1], size=(30, 32)).astype(np.int32)
    out = resample_labels(torch.from_numpy(source), window).numpy()
    assert np.array_equal(out, slow_nearest(source, window))
    assert set(np.unique(out)) <= set(np.unique(source))


def test_image_and_labels_move_together():
    labels = torch.zeros(40, 60, dtype=torch.uint8)
    labels[10:20, 30:50] = 200
    window = Window(5, 20, 30, 40, (60, 80), flip=True)
    image = resample_image(labels.expand(3, -1, -1), window)
    there = resample_labels(labels, window)
    assert image.shape == (3, 60, 80)
    assert ((image[0] > 100) == (there > 100)).float().mean() > 0.99


def test_boxes_follow_by_hand():
    boxes = torch.tensor([[10.0, 10, 30, 20], [0, 0, 4, 4]])
    out = resample_boxes(boxes, Window(5, 10, 20, 40, (40, 80)))
    assert out.tolist() == [[0, 10, 40, 30], [0, 0, 0, 0]]
    flipped = resample_boxes(boxes, Window(5, 10, 20, 40, (40, 80), flip=True))
    assert flipped[0].tolist() == [40, 10, 80, 30]


def test_instances_that_left_the_picture_are_dropped():
    sample = {
        "image": tv_tensors.Image(torch.zeros(3, 8, 8, dtype=torch.uint8)),
        "segments": tv_tensors.Mask(torch.tensor([[1] * 4 + [3] * 4] * 4 + [[2] * 8] * 4, dtype=torch.int32)),
        "segment_labels": torch.tensor([5, 6, 7]),
        "segment_crowd": torch.tensor([False, False, True]),
        "meta": {"id": "a"},
    }
    out = resample(sample, Window(0, 4, 4, 4, (4, 4)))  # only segment 3
    assert out["segments"].unique().tolist() == [1]
    assert out["segment_labels"].tolist() == [7]
    assert out["segment_crowd"].tolist() == [True]
    assert sample["segments"].unique().tolist() == [1, 2, 3]  # the source stays


def test_masks_make_their_boxes_again():
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[0, :4, :4] = True
    masks[1, 6:, 6:] = True
    sample = {
        "image": tv_tensors.Image(torch.zeros(3, 8, 8, dtype=torch.uint8)),
        "masks": tv_tensors.Mask(masks),
        "boxes": torch.tensor([[0.0, 0, 4, 4], [6, 6, 8, 8]]),
        "labels": torch.tensor([1, 2]),
        "crowd": torch.tensor([False, False]),
    }
    out = resample(sample, Window(0, 0, 5, 5, (10, 10)))
    assert "boxes" not in out
    assert out["labels"].tolist() == [1]
    assert out["masks"].shape == (1, 10, 10)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32])
def test_a_window_of_the_same_size_copies(dtype):
    image = torch.randint(0, 200, (3, 9, 11)).to(dtype)
    assert torch.equal(resample_image(image, Window(0, 0, 9, 11, (9, 11))), image)
