"""From a deep level up to a shallow one's size."""

import pytest
import torch
from torch import nn

from segexp.layers.climb import Climb, conv_group_act


@pytest.mark.parametrize(("doublings", "convs", "size"), [(0, 1, 5), (1, 1, 10), (3, 3, 40)])
def test_a_convolution_for_each_doubling_and_one_without(doublings, convs, size):
    climb = Climb(6, 8, doublings)
    assert [(c[0].in_channels, c[0].out_channels) for c in climb.convs] == [(6, 8), *[(8, 8)] * (convs - 1)]
    assert climb(torch.randn(2, 6, 5, 5)).shape == (2, 8, size, size)


@pytest.mark.parametrize(("width", "groups"), [(64, 32), (12, 6), (7, 1)])
def test_groups_to_norm_by(width, groups):
    block = conv_group_act(4, width, 3)
    assert block[1].num_groups == groups
    assert block[0].bias is None
    assert isinstance(Climb(4, width, 1, block=conv_group_act).convs[0][1], nn.GroupNorm)
    assert block(torch.randn(1, 4, 5, 6)).shape == (1, width, 5, 6)
