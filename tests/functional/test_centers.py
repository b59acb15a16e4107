"""Heatmaps and vectors: published arrays, a mask per segment, and values worked out by hand."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from segexp.functional import segments as segment_ops
from segexp.functional.centers import center_targets, heatmap, pixel_weights

GOLDEN = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "reference" / "golden"


@pytest.mark.skipif(not GOLDEN.exists(), reason=f"no golden arrays in {GOLDEN}: set SEGEXP_SHARED")
@pytest.mark.parametrize(
    ("tag", "sigma", "small_area", "stuff", "crowd_has_class"),
    [("sigma8", 8, 400, False, True), ("sigma10_nocrowdsem", 10, 4096, True, False)],
)
def test_published_arrays(tag, sigma, small_area, stuff, crowd_has_class):
    arrays = np.load(GOLDEN / "panoptic_targets.npz")
    wanted = {name.removeprefix(f"{tag}."): torch.from_numpy(arrays[name]) for name in arrays.files if name.startswith(tag)}
    panoptic, listed = torch.from_numpy(arrays["panoptic_id"]), json.loads(str(arrays["segments"]))
    segments = sum((panoptic == one["id"]).int() * number for number, one in enumerate(listed, 1))
    labels = torch.tensor([one["category_id"] for one in listed])
    crowd = torch.tensor([bool(one["iscrowd"]) for one in listed])
    things = torch.isin(labels, torch.from_numpy(arrays["thing_list"]))
    found = center_targets(segments, things, sigma=sigma)
    assert (found.center - wanted["center"][0]).abs().max() <= 1e-5
    assert (found.offset - wanted["offset"]).abs().max() <= 1e-4
    assert (found.points - wanted["center_points"]).abs().max() <= 1e-9
    weights = pixel_weights(segments, things, crowd, small_area=small_area, small_weight=3, stuff=stuff)
    for name in ("center", "offset", "semantic"):
        assert torch.equal(getattr(weights, name).byte(), wanted[f"{name}_weights"]), name
    classes = labels if crowd_has_class else labels.masked_fill(crowd, 255)
    assert torch.equal(segment_ops.of_pixels(segments, classes, 255).byte(), wanted["semantic"])


def scene(seed, size=(40, 57), count=9):
    """Overlapping blocks; some segments end up without a pixel."""
    rng = torch.Generator().manual_seed(seed)
    segments = torch.zeros(size, dtype=torch.int32)
    for number in range(1, count + 1):
        y, x = (int(torch.randint(0, n, (1,), generator=rng)) for n in size)
        h, w = (int(torch.randint(1, 14, (1,), generator=rng)) for _ in range(2))
        segments[y : y + h, x : x + w] = number
    return segments, torch.rand(count, generator=rng) < 0.7, torch.rand(count, generator=rng) < 0.3


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("rounded", [False, True])
def test_equals_a_mask_per_segment(seed, rounded):
    segments, things, _ = scene(seed)
    center, offset, points = torch.zeros(40, 57), torch.zeros(2, 40, 57), []
    ys, xs = torch.meshgrid(torch.arange(40.0), torch.arange(57.0), indexing="ij")
    for number in (things.nonzero().flatten() + 1).tolist():
        mask = segments == number
        if not mask.any():
            continue
        y, x = np.mean(ys[mask].numpy(), dtype=np.float64), np.mean(xs[mask].numpy(), dtype=np.float64)
        y, x = (np.round(y), np.round(x)) if rounded else (y, x)
        points.append((y, x))
        squared = (ys - int(y)) ** 2 + (xs - int(x)) ** 2
        near = ((ys - int(y)).abs() <= 10) & ((xs - int(x)).abs() <= 10)
        center = torch.maximum(center, (-squared / 18).exp() * near)
        offset[:, mask] = torch.stack([y - ys, x - xs]).float()[:, mask]
    found = center_targets(segments, things, sigma=3, rounded=rounded)
    assert torch.allclose(found.center, center, atol=1e-6)
    assert torch.allclose(found.offset, offset, atol=1e-5)
    assert np.allclose(found.points.numpy(), np.array(points).reshape(-1, 2))


def test_rounding_by_hand():
    segments = torch.tensor([[1, 1, 0, 2, 2, 2, 2], [0, 0, 0, 2, 2, 2, 2]], dtype=torch.int32)  # centres (0, 0.5) and (0.5, 4.5)
    things = torch.ones(2, dtype=torch.bool)
    floor, near = (center_targets(segments, things, sigma=0.2, rounded=rounded) for rounded in (False, True))
    assert (floor.center == 1).nonzero().tolist() == [[0, 0], [0, 4]]
    assert floor.offset[:, 1, 6].tolist() == [-0.5, -1.5]
    assert (near.center == 1).nonzero().tolist() == [[0, 0], [0, 4]]  # halves go to the even pixel
    assert near.offset[:, 1, 6].tolist() == [-1, -2]


def test_chosen_peaks_leave_the_vectors_alone():
    segments, things, crowd = scene(3)
    every, some = (center_targets(segments, things, sigma=2, peaks=peaks) for peaks in (None, ~crowd))
    assert torch.equal(every.offset, some.offset)
    assert torch.equal(some.center, center_targets(segments, things & ~crowd, sigma=2).center)
    assert not torch.equal(every.center, some.center)


def test_large_things_have_broad_peaks_where_asked_for():
    segments = torch.ones(40, 40, dtype=torch.int32)
    segments[4:8, 4:8] = 2  # 16 pixels: half of 4 is 2
    segments[15:27, 12:37] = 3  # 300 pixels: half of 17.32 is 8.66, in quarters 8.75
    things = torch.tensor([False, True, True])
    found, plain = (center_targets(segments, things, sigma=3.0, sigma_share=share).center for share in (0.5, 0.0))
    assert torch.equal(plain, heatmap(torch.tensor([[5, 5], [20, 24]]), (40, 40), [3.0, 3.0]))
    assert torch.equal(found, heatmap(torch.tensor([[5, 5], [20, 24]]), (40, 40), [3.0, 8.75]))
    assert found[20, 34] == pytest.approx(np.exp(-(10**2) / (2 * 8.75**2)))


def test_a_gaussian_ends_and_the_higher_one_wins():
    found = heatmap(torch.tensor([[0, 0], [0, 3]]), (9, 12), [1.0, 1.0])
    assert (found[0, 0], found[0, 3], found[0, 7]) == (1, 1, torch.tensor(-8.0).exp())
    assert found[0, 1] == pytest.approx(np.exp(-0.5))
    assert found[0, 8] == 0  # 3 sigma + 2 pixels away
    assert heatmap(torch.zeros(0, 2, dtype=torch.int64), (4, 5), []).abs().max() == 0


def test_nothing_but_void():
    empty = torch.zeros(5, 6, dtype=torch.int32)
    none = torch.zeros(0, dtype=torch.bool)
    found = center_targets(empty, none)
    assert (found.center.abs().max(), found.offset.abs().max(), found.points.shape) == (0, 0, (0, 2))
    weights = pixel_weights(empty, none, none, small_area=9, small_weight=3)
    assert not (weights.center | weights.offset).any()
    assert weights.semantic.unique().tolist() == [1]
