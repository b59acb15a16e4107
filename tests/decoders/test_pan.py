"""PAN: attention over the pyramid on maps of any size, and the step up by hand."""

import pytest
import torch
from torch import nn

from segexp.decoders.pan import GlobalAttention, PyramidAttention


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 7), (16, 16)])
def test_maps_of_any_size_have_a_pyramid(size):
    part = PyramidAttention(6, 4).train()
    assert part(torch.randn(2, 6, *size)).shape == (2, 4, *size)


def test_the_step_up_by_hand():
    part = GlobalAttention(1, 1)
    part.reduce = nn.Identity()
    nn.init.zeros_(part.weigh[0].weight)
    nn.init.zeros_(part.weigh[0].bias)  # the sigmoid of 0 is a half
    out = part(torch.full((1, 1, 2, 2), 4.0), torch.tensor([[[[7.0]]]]))
    assert torch.equal(out, torch.full((1, 1, 2, 2), 9.0))


def test_channels_are_weighed_by_the_mean_of_the_deep_level():
    part = GlobalAttention(1, 1)
    part.reduce = nn.Identity()
    nn.init.ones_(part.weigh[0].weight)
    nn.init.zeros_(part.weigh[0].bias)
    out = part(torch.ones(1, 1, 1, 2), torch.tensor([[[[1.0, 3.0]]]]))
    torch.testing.assert_close(out[0, 0, 0], torch.tensor([1.0, 3.0]) + torch.sigmoid(torch.tensor(2.0)))
