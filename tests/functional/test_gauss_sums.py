"""Gaussian sums: all pairs where they should be, near ones where that is enough."""

import pytest
import torch

from segexp.functional import gauss_sums
from segexp.functional.gauss_sums import GaussSums, cells_of, leaves


@pytest.fixture(autouse=True)
def small_leaves(monkeypatch):
    monkeypatch.setattr(gauss_sums, "LEAF", 16)
    monkeypatch.setattr(gauss_sums, "WORKING_SET", 1500)


def points(count, spread=4.0, dimensions=5, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return spread * torch.randn(count, dimensions, generator=rng), torch.rand(3, count, generator=rng)


def dense(x, values):
    x = x.double()
    return (values.double() @ (-(x[:, None] - x).square().sum(-1) / 2).exp()).float()


@pytest.mark.parametrize("count", [1, 2, 16, 17, 333])
def test_without_cells_the_sums_are_those_of_all_pairs(count):
    x, values = points(count)
    found = GaussSums(x + 50, cell=0, reach=9)(values)
    torch.testing.assert_close(found, dense(x, values), rtol=1e-4, atol=1e-5)


def test_distant_leaves_are_left_out_and_hardly_missed():
    x, values = points(2000, spread=6.0)
    near, all_pairs = GaussSums(x, cell=0, reach=4), GaussSums(x, cell=0, reach=1e9)
    assert all_pairs.pairs >= 2000**2
    assert near.pairs < 0.6 * all_pairs.pairs
    torch.testing.assert_close(near(values), all_pairs(values), rtol=0, atol=0.02)


def test_points_of_one_cell_count_as_one_at_their_mean():
    x = torch.tensor([[0.1], [0.3], [5.1], [-3.9]])
    values = torch.tensor([[1.0, 2.0, 4.0, 8.0]])
    sums = GaussSums(x, cell=0.5, reach=9)
    assert sums.total == 3
    torch.testing.assert_close(sums(values), dense(torch.tensor([[0.2], [0.2], [5.1], [-3.9]]), values))


def test_cells_are_numbered_without_gaps_however_many_dimensions():
    x, _ = points(500, spread=1e4, dimensions=12)
    x[250:] = x[:250] + 1e-9
    number = cells_of(x, 0.01)
    assert sorted(number.unique().tolist()) == list(range(int(number.max()) + 1))
    assert torch.equal(number[:250], number[250:])
    assert int(number.max()) == 249


def test_leaves_hold_every_point_once_and_near_ones_together():
    x = torch.rand(14, 2, generator=torch.Generator().manual_seed(0))
    x[::2] += 100
    assert sorted(sorted(leaf) for leaf in leaves(x, 1).tolist()) == [list(range(0, 14, 2)), list(range(1, 14, 2))]
    assert sorted(leaves(x[:13], 2).flatten().tolist()) == [-1, -1, -1, *range(13)]
