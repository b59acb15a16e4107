"""The adapter of segmentation_models_pytorch's decoders, and what was mended in them."""

import pytest
import torch
from torch import nn

from segexp.decoders.levels import ladder
from segexp.decoders.smp import PositionAttention, SmpDecoder, manet, unet, unetplusplus
from segexp.errors import ConfigError
from segexp.layers.norm import SingleValueNorm
from segexp.types import Level

SPEC = {"c2": Level(6, 4), "c3": Level(8, 8), "c4": Level(10, 16), "c5": Level(12, 32)}


def features(height, width):
    return {name: torch.randn(1, c, height // s, width // s) for name, (c, s) in SPEC.items()}


class Shapes(nn.Module):
    """Keeps what it was given."""

    def forward(self, maps):
        self.seen = [tuple(x.shape) for x in maps]
        return maps[-1]


def test_the_list_begins_with_the_image_and_names_every_stride():
    inner = Shapes()
    decoder = SmpDecoder(inner, ladder(SPEC, None, by="it", doubling=True), Level(12, 32))
    decoder(features(64, 96))
    assert inner.seen == [(1, 0, 64, 96), (1, 0, 32, 48), (1, 6, 16, 24), (1, 8, 8, 12), (1, 10, 4, 6), (1, 12, 2, 3)]


@pytest.mark.parametrize("make", [unet, unetplusplus, manet])
def test_fewer_widths_end_coarser(make):
    decoder = make(SPEC, widths=[16, 8, 4]).eval()
    assert decoder.spec == {"semantic": Level(4, 4)}
    assert decoder(features(64, 96))["semantic"].shape == (1, 4, 16, 24)


def test_every_level_is_read_by_a_skip_connection():
    decoder, given = unet(SPEC, widths=[16, 8, 4, 4, 4]).eval(), features(64, 96)
    for x in given.values():
        x.requires_grad_()
    decoder(given)["semantic"].sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in given.values())


@pytest.mark.parametrize("make", [unet, unetplusplus])
def test_attention_adds_weights(make):
    plain, attentive = (sum(p.numel() for p in make(SPEC, attention=on).parameters()) for on in (False, True))
    assert attentive > plain


def test_unetplusplus_needs_two_steps():
    with pytest.raises(ConfigError, match=r"U-Net\+\+ needs two steps up; decoder.widths=\[16\]"):
        unetplusplus(SPEC, widths=[16])


def test_every_norm_takes_a_single_value():
    norms = [module for module in manet(SPEC).modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all(isinstance(norm, SingleValueNorm) for norm in norms)


def test_attention_over_places_by_hand():
    torch.manual_seed(0)
    part = PositionAttention(3, 2)
    part.out = nn.Identity()
    x = torch.randn(1, 3, 2, 4)
    query, key, value = (f(x)[0].flatten(1).T for f in (part.query, part.key, part.value))  # [hw,C]
    wanted = torch.empty(8, 3)
    for place in range(8):
        weights = torch.softmax((query[place] @ key.T) / 2**0.5, dim=0)
        wanted[place] = weights @ value
    torch.testing.assert_close(part(x)[0].flatten(1).T, x[0].flatten(1).T + wanted)
