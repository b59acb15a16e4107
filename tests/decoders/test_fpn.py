"""Semantic FPN: convolutions per level, and the sum from the deepest level down."""

import torch
from torch import nn

from segexp.decoders.fpn import FPN
from segexp.types import Level

STRIDES = {"c2": 4, "c3": 8, "c4": 16, "c5": 32}


def test_a_level_has_a_convolution_for_each_doubling():
    whole = FPN({name: Level(6, s) for name, s in STRIDES.items()}, pyramid_width=8, width=4)
    assert [len(climb.convs) for climb in whole.climbs] == [1, 1, 2, 3]
    dilated = FPN({name: Level(6, min(s, 16)) for name, s in STRIDES.items()}, pyramid_width=8, width=4)
    assert [len(climb.convs) for climb in dilated.climbs] == [1, 1, 2, 2]


def test_the_sum_by_hand():
    decoder = FPN({"c2": Level(1, 4), "c5": Level(1, 8)}, levels=["c2", "c5"], pyramid_width=1, width=1).eval()
    for lateral in decoder.lateral:
        nn.init.ones_(lateral.weight)
        nn.init.zeros_(lateral.bias)
    for climb in decoder.climbs:
        climb.convs = nn.ModuleList([nn.Identity()])
    out = decoder({"c2": torch.full((1, 1, 2, 4), 1.0), "c5": torch.tensor([[[[10.0, 30.0]]]])})["semantic"]
    # level c2 of the pyramid is c2 + nearest(c5); level c5 comes bilinearly from 10 and 30 at the centres of its cells
    assert torch.equal(out[0, 0], torch.tensor([[11.0 + 10, 11 + 15, 31 + 25, 31 + 30]]).repeat(2, 1))
