"""Finding centres and grouping around them, against the plain forms."""

import pytest
import torch
from torch.nn import functional as F

from segexp.functional import grouping
from segexp.functional.grouping import find_centers, nearest, nearest_direct, window_max


def literal_centers(heat, threshold, window, most):
    """Published code's steps, on all pixels."""
    heat = F.threshold(heat, threshold, -1)
    pooled = F.max_pool2d(heat[None, None], window, 1, window // 2)[0, 0]
    heat = torch.where(heat == pooled, heat, torch.tensor(-1.0))
    found = (heat > 0).nonzero()
    if most is None or len(found) < most:
        return found
    return (heat > heat.flatten().topk(most).values[-1]).nonzero()


@pytest.mark.parametrize("window", [1, 3, 7, 41])
@pytest.mark.parametrize("most", [None, 1, 5, 200])
def test_centers_are_those_of_published_code(window, most):
    rng = torch.Generator().manual_seed(window)
    for heat in (torch.rand(37, 51, generator=rng), torch.randint(0, 4, (37, 51), generator=rng) / 4):  # the latter with plateaus
        for threshold in (0.1, 0.5, 0.99):
            points, values = find_centers(heat, threshold=threshold, window=window, most=most)
            assert torch.equal(points, literal_centers(heat, threshold, window, most))
            assert torch.equal(values, heat[points[:, 0], points[:, 1]])


def test_centers_by_hand():
    heat = torch.tensor([[0.9, 0.1, 0.2, 0.1, 0.5, 0.1, 0.7]])
    find = lambda **more: find_centers(heat, **({"threshold": 0.1, "window": 3, "most": None} | more))[0][:, 1].tolist()  # noqa: E731
    assert find() == [0, 2, 4, 6]
    assert find(threshold=0.2) == [0, 4, 6]  # strictly above
    assert find(window=5) == [0, 6]
    assert find(most=4) == [0, 4, 6]  # strictly above the fourth
    assert find(most=5) == [0, 2, 4, 6]
    assert find(threshold=-1.0, window=1) == list(range(7))


@pytest.mark.parametrize("window", [1, 3, 5, 7, 9, 13, 31, 41, 99])
def test_window_max_is_pooling(window):
    x = torch.randn(31, 45, generator=torch.Generator().manual_seed(window))
    wanted = F.pad(x[None], [window // 2] * 4, value=float("-inf")).unfold(1, window, 1).unfold(2, window, 1).amax((-2, -1))[0]
    assert torch.equal(window_max(x, window), wanted)


def scene(seed, centers, points, extent):
    rng = torch.Generator().manual_seed(seed)
    middle = torch.rand(centers, 2, generator=rng) * extent
    y, x = ((torch.rand(2, points, generator=rng) - 0.2) * 1.4 * extent).unbind()
    return y, x, middle


@pytest.mark.parametrize("extent", [3.0, 60.0, 600.0, 5e3, 1e6])
@pytest.mark.parametrize("centers", [1, 2, 17, 300])
def test_cells_equal_all_distances(extent, centers):
    for seed in range(3):
        y, x, middle = scene(seed, centers, 3000, extent)
        assert torch.equal(nearest(y, x, middle), nearest_direct(y, x, middle))


@pytest.mark.parametrize("seed", range(4))
def test_of_equals_the_first_is_taken(seed):
    rng = torch.Generator().manual_seed(seed)
    middle = (torch.randint(0, 12, (60, 2), generator=rng) * 8).float()  # on the cells' corners, many of them twice
    y, x = (torch.randint(-20, 240, (5000,), generator=rng) / 2 for _ in range(2))
    found = nearest(y, x, middle)
    distances = (middle[:, :1] - y).square().add((middle[:, 1:] - x).square()).sqrt()
    assert (distances == distances.amin(0)).sum(0).max() > 1
    assert torch.equal(found, (distances == distances.amin(0)).int().argmax(0))
    assert torch.equal(found, nearest_direct(y, x, middle))


def test_published_matrix_gives_the_same():
    y, x, middle = scene(0, 150, 4000, 700.0)
    ends = torch.stack([y, x], 1)
    assert torch.equal(nearest(y, x, middle), torch.norm(middle[:, None] - ends[None], dim=-1).argmin(0))


def test_points_far_away_without_a_number_and_none_at_all():
    y, x, middle = scene(0, 20, 100, 90.0)
    y[3], x[4], y[5], x[6] = float("nan"), float("inf"), 1e30, -1e7
    assert torch.equal(nearest(y, x, middle), nearest_direct(y, x, middle))
    assert nearest(y[3:7], x[3:7], middle).shape == (4,)
    assert nearest(y[:0], x[:0], middle).shape == (0,)


def test_small_steps_and_large_cells_change_nothing(monkeypatch):
    y, x, middle = scene(1, 90, 3000, 400.0)
    wanted = nearest_direct(y, x, middle)
    for name, value in (("STEP", 700), ("TABLE", 100), ("MOST_CELLS", 16), ("BLOCK", 1), ("AROUND", 1.0)):
        monkeypatch.setattr(grouping, name, value)
        assert torch.equal(nearest(y, x, middle), wanted), name
