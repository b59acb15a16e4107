"""One resample against doing it step by step."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from segexp.functional.masks import to_boxes
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


TURNED = st.builds(
    lambda top, left, height, width, h, w, flip, upend, turns, angle: Window(
        top, left, height, width, (h, w), flip, upend, turns, angle=angle
    ),
    st.integers(0, 10),
    st.integers(0, 12),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 24),
    st.integers(1, 24),
    st.booleans(),
    st.booleans(),
    st.integers(0, 3),
    st.floats(-180, 180).filter(lambda angle: abs(angle) > 1e-3),
)


def slow_places(window):
    """Where each target pixel looks, by complex numbers (x - iy: angles run anticlockwise as seen): source y and x, [h,w]."""
    h, w = window.size
    x, y = np.meshgrid(np.arange(w) + 0.5 - w / 2, np.arange(h) + 0.5 - h / 2)
    seen = (x * window.width / w - 1j * y * window.height / h) * np.exp(-1j * np.pi * window.angle / 180)
    return window.top + window.height / 2 - seen.imag, window.left + window.width / 2 + seen.real


def oriented(array, window):
    array = array[..., ::-1] if window.flip else array
    array = array[..., ::-1, :] if window.upend else array
    return np.rot90(array, window.turns, (-2, -1))


@settings(max_examples=100, deadline=None)
@given(TURNED, st.integers(0, 2**31 - 1))
def test_turned_labels_are_those_under_each_centre_and_void_beyond_the_picture(window, seed):
    source = np.random.default_rng(seed).choice([0, 7, 2**24 + 1], size=(30, 32)).astype(np.int32)
    out = resample_labels(torch.from_numpy(source), window, outside=-5).numpy()
    y, x = slow_places(window)
    close = np.minimum(abs(y - y.round()), abs(x - x.round())) < 1e-5  # on an edge between pixels
    rows, columns = np.floor(y).astype(int), np.floor(x).astype(int)
    inside = (rows >= 0) & (rows < 30) & (columns >= 0) & (columns < 32)
    expected = np.where(inside, source[rows.clip(0, 29), columns.clip(0, 31)], -5)
    assert np.array_equal(out[~oriented(close, window)], oriented(expected, window)[~oriented(close, window)])
    assert set(np.unique(out)) <= {0, 7, 2**24 + 1, -5}


@settings(max_examples=50, deadline=None)
@given(WINDOWS, st.sampled_from([1, 3, 5]), st.integers(0, 2**31 - 1))
def test_an_image_is_resized_as_by_torchvision(window, channels, seed):
    image = torch.randint(0, 256, (channels, 30, 32), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    out = resample_image(image, window)
    cut = image[:, window.top : window.top + window.height, window.left : window.left + window.width]
    theirs = F.resize(cut, list(window.size), antialias=True)
    assert (out.int() - (theirs.flip(-1) if window.flip else theirs).int()).abs().max() <= 1  # 0 with AVX2
    assert resample_image(image.int(), window).dtype == torch.int32


@settings(max_examples=50, deadline=None)
@given(TURNED, st.integers(0, 2**31 - 1))
def test_a_turned_image_is_interpolated_between_pixels(window, seed):
    window = window._replace(size=(max(window.size[0], window.height), max(window.size[1], window.width)))  # not shrunk
    source = np.random.default_rng(seed).integers(0, 256, (2, 30, 32)).astype(np.float32)
    out = resample_image(torch.from_numpy(source), window).numpy()
    y, x = slow_places(window)
    for channel, seen in zip(source, out, strict=True):
        inner = (y > 0.5) & (y < 29.5) & (x > 0.5) & (x < 31.5)  # at the border it fades to a mean
        expected = ndimage.map_coordinates(channel, [y - 0.5, x - 0.5], order=1, mode="nearest")
        assert np.allclose(seen[oriented(inner, window)], oriented(expected, window)[oriented(inner, window)], atol=0.02)


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("kind", ["uint8", "int32", "masks"])
def test_quarter_angles_and_quarter_turns_are_exact(quarters, kind):
    most = {"uint8": 256, "int32": 65536, "masks": 2}[kind]
    source = torch.randint(0, most, (3, 24, 24), generator=torch.Generator().manual_seed(0))
    source = source.to({"uint8": torch.uint8, "int32": torch.int32, "masks": torch.bool}[kind])
    see = resample_labels if kind == "masks" else resample_image
    expected = torch.rot90(source, quarters, (1, 2))
    assert torch.equal(see(source, Window(0, 0, 24, 24, (24, 24), angle=90.0 * quarters)), expected)
    assert torch.equal(see(source, Window(0, 0, 24, 24, (24, 24), turns=quarters)), expected)


def test_beyond_the_picture_the_image_has_its_mean_colour_and_labels_are_ignored():
    image = torch.full((3, 16, 16), 40, dtype=torch.uint8)
    image[:, :8] = 80
    sample = {
        "image": tv_tensors.Image(image),
        "semantic": tv_tensors.Mask(torch.full((16, 16), 3, dtype=torch.uint8)),
        "segments": tv_tensors.Mask(torch.ones(16, 16, dtype=torch.int32)),
        "segment_labels": torch.tensor([3]),
        "segment_crowd": torch.tensor([False]),
        "masks": tv_tensors.Mask(torch.ones(1, 16, 16, dtype=torch.bool)),
        "labels": torch.tensor([3]),
        "crowd": torch.tensor([False]),
    }
    out = resample(sample, Window(0, 0, 16, 16, (16, 16), angle=45.0))
    assert out["image"][:, 0, 0].tolist() == [60, 60, 60]
    assert [int(out[name][..., 0, 0].sum()) for name in ("semantic", "segments", "masks")] == [255, 0, 0]
    assert [int(out[name][..., 8, 8].sum()) for name in ("semantic", "segments", "masks")] == [3, 1, 1]


def test_a_pattern_that_a_turned_window_shrinks_does_not_alias():
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 200
    out = resample_image(board.to(torch.uint8)[None], Window(0, 0, 64, 64, (16, 16), angle=10.0))
    assert int(out.max()) - int(out.min()) <= 2


@settings(max_examples=50, deadline=None)
@given(TURNED, st.booleans())
def test_boxes_are_the_hulls_of_their_rectangles(window, turned):
    window = window if turned else window._replace(angle=0.0, size=(window.height * 2, window.width * 2))
    boxes = torch.tensor([[3.0, 4, 20, 25], [0, 0, 5, 5], [10, 10, 12, 28], [0, 0, 32, 30]])
    masks = torch.zeros(4, 30, 32, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
    found, drawn = resample_boxes(boxes, window), to_boxes(resample_labels(masks, window))
    seen = (found[:, 2:] > found[:, :2]).all(1)
    assert torch.equal(seen, (drawn[:, 2:] > drawn[:, :2]).all(1))
    assert ((found - drawn)[seen].abs() <= 1).all()


def test_a_bend_moves_image_labels_and_boxes_alike_and_none_changes_nothing():
    labels = torch.zeros(40, 60, dtype=torch.uint8)
    labels[10:30, 20:40] = 200
    still = Window(0, 0, 40, 60, (40, 60), bend=torch.zeros(2, 3, 3))
    assert torch.equal(resample_labels(labels, still), labels)
    assert torch.equal(resample_image(labels[None], still)[0], labels)
    bent = still._replace(bend=4 * torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(3)))
    image, seen = resample_image(labels[None], bent)[0], resample_labels(labels, bent)
    assert not torch.equal(seen, labels)
    assert ((image > 100) == (seen > 100)).float().mean() > 0.98
    assert torch.equal(resample_boxes(torch.tensor([[20.0, 10, 40, 30]]), bent), to_boxes((seen > 0)[None]))


def test_a_turned_window_without_boxes_has_none():
    assert resample_boxes(torch.zeros(0, 4), Window(0, 0, 8, 8, (8, 8), angle=5.0, turns=1)).shape == (0, 4)
