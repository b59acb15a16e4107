"""Pyramid pooling by hand."""

import torch
from torch import nn

from segexp.layers.pyramid_pool import PyramidPool


def test_means_of_each_grid_stand_beside_the_map():
    pool = PyramidPool(1, 1, bins=[1, 2])
    pool.project = nn.ModuleList([nn.Identity(), nn.Identity()])
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    out = pool(x)
    assert out.shape == (1, pool.channels, 4, 4)
    assert torch.equal(out[:, :1], x)
    assert out[0, 1].eq(7.5).all()  # the mean
    assert (out[0, 2, 0, 0], out[0, 2, 3, 3]) == (2.5, 12.5)  # the means of the first and the last quarter


def test_a_map_smaller_than_the_grid():
    assert PyramidPool(3, 2, bins=[6]).train()(torch.randn(1, 3, 1, 2)).shape == (1, 5, 1, 2)
