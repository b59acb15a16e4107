"""Strides, levels and dilation of small networks, by hand."""

import pytest
import torch
from torch import nn

from segexp.backbones.geometry import dilate, level_modules, observe, on_meta, set_input_channels
from segexp.errors import ConfigError


class Halving(nn.Module):
    """Five halvings to stride 32, the third by a pool; a head after it. Every other block is residual with a 1x1 shortcut."""

    def __init__(self, pool=None):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1), pool or nn.MaxPool2d(3, 2, 1))
        self.fourth, self.short = nn.Conv2d(4, 4, 5, 2, 2), nn.Conv2d(4, 4, 1, 2)
        self.fifth = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1))
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 2)

    def forward(self, x):
        x = self.body(self.stem(x))
        x = self.fifth(self.fourth(x) + self.short(x))
        return self.head(self.pool(x).flatten(1))


def seen(make=Halving):
    net = on_meta(make)
    return net, observe(net, 3)


def geometry(layer):
    return layer.stride, layer.dilation, layer.padding


def test_strides_are_seen_and_levels_are_the_last_blocks():
    net, calls = seen()
    assert (calls["stem.0"].before, calls["stem.0"].after, calls["fifth"].after, calls["head"].after) == (1, 2, 32, None)
    assert {name: (call.after, call.channels) for name, call in level_modules(net, calls).items()} == {
        "stem": (2, 4),
        "body.1": (4, 4),
        "body.2": (8, 4),
        "short": (16, 4),
        "fifth": (32, 8),
    }


def test_strides_become_dilations_of_what_follows():
    _, calls = seen()
    net = Halving()
    dilate(net, calls, 8, name="halving")
    assert geometry(net.fourth) == ((1, 1), (1, 1), (2, 2))
    assert geometry(net.short) == ((1, 1), (1, 1), (0, 0))
    assert geometry(net.fifth[0]) == ((1, 1), (2, 2), (2, 2))
    assert geometry(net.fifth[1]) == ((1, 1), (4, 4), (4, 4))
    assert geometry(net.body[0]) == ((2, 2), (1, 1), (1, 1))


@pytest.mark.parametrize("stride", [8, 16])
def test_values_at_shared_positions_stay(stride):
    _, calls = seen()
    plain, dilated = Halving(), Halving()
    dilated.load_state_dict(plain.state_dict())
    dilate(dilated, calls, stride, name="halving")
    maps = []
    for net in (plain, dilated):
        net.pool.register_forward_pre_hook(lambda _, inputs: maps.append(inputs[0]))
        net(torch.randn(1, 3, 96, 160, generator=torch.Generator().manual_seed(0)))
    step = 32 // stride
    assert maps[1].shape[-2:] == (96 // stride, 160 // stride)
    torch.testing.assert_close(maps[1][..., ::step, ::step], maps[0])


def test_a_full_stride_changes_nothing():
    _, calls = seen()
    net = Halving()
    before = [geometry(m) for m in net.modules() if isinstance(m, nn.Conv2d)]
    dilate(net, calls, 32, name="halving")
    assert [geometry(m) for m in net.modules() if isinstance(m, nn.Conv2d)] == before


class Late(Halving):
    """Of these the last halving is one that can't be dilated."""

    def __init__(self, last):
        super().__init__()
        self.fifth = nn.Sequential(last, nn.Conv2d(4, 8, 1))


LAST = {
    "an even pool of means": lambda: nn.AvgPool2d(2, 2),
    "a pool of means": lambda: nn.AvgPool2d(3, 2, 1),
    "an even pool": lambda: nn.MaxPool2d(2, 2),
    "a pool": lambda: nn.MaxPool2d(3, 2, 1),
    "an even kernel": lambda: nn.Conv2d(4, 4, 2, 2),
    "a large even kernel": lambda: nn.Conv2d(4, 4, 4, 2, 1),
    "a rectangular kernel": lambda: nn.Conv2d(4, 4, (1, 3), 2, (0, 1)),
}


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize(("last", "first"), zip(LAST, [*list(LAST)[1:], *list(LAST)[:1]], strict=True))
def test_values_stay_for_pools_and_all_kernels(last, first, stride):
    def make():
        net = Late(LAST[last]())
        net.fourth, net.short = nn.Sequential(nn.ReLU(), LAST[first]()), nn.Conv2d(4, 4, 1, 2)
        return net

    net, maps = make(), []
    _, calls = seen(make)
    image = torch.randn(1, 3, 320, 384, generator=torch.Generator().manual_seed(0))
    for s in (32, stride):
        dilate(net, calls, s, name="late")
        net.fifth.register_forward_hook(lambda _, inputs, output: maps.append(output))
        net(image)
    step = 32 // stride
    inner = (..., slice(2, -3), slice(2, -3))
    torch.testing.assert_close(maps[-1][..., ::step, ::step][inner], maps[0][inner])
    assert maps[0][inner].std() > 0


class Shuffled(Halving):
    """Its last halving is no layer of its own."""

    def __init__(self):
        super().__init__()
        self.fifth = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(16, 8, 3, 1, 1))


def test_what_can_not_be_dilated_is_refused_with_the_strides_that_fit():
    _, calls = seen(Shuffled)
    fix = r"backbone.output_stride=32, or a network whose stride convolutions set, such as backbone=resnet50\|"
    with pytest.raises(
        ConfigError, match=r"late can't have output stride 16: fifth.* would have stride 32; backbone.output_stride; fix: " + fix
    ):
        dilate(Shuffled(), calls, 16, name="late")
    with pytest.raises(ConfigError, match=r"output stride 12; backbone\.output_stride; fix: backbone\.output_stride=8\|16\|32"):
        dilate(Shuffled(), calls, 12, name="late")


def test_the_first_block_may_get_the_stages_own_dilation():
    _, calls = seen()
    net = Halving()
    dilate(net, calls, 8, name="halving", first_block_dilation="full")
    assert geometry(net.fourth) == ((1, 1), (2, 2), (4, 4))
    assert geometry(net.fifth[0]) == ((1, 1), (4, 4), (4, 4))
    assert geometry(net.short) == ((1, 1), (1, 1), (0, 0))
    with pytest.raises(
        ConfigError, match=r"no such rule .*; backbone.first_block_dilation=next; fix: backbone\.first_block_dilation=previous\|full"
    ):
        dilate(Halving(), calls, 8, name="halving", first_block_dilation="next")


def test_other_channels_change_the_first_convolution_alone():
    net = Halving()
    set_input_channels(net, 5)
    assert net.stem[0].weight.shape == (4, 5, 3, 3)
    assert net.body[0].weight.shape == (4, 4, 3, 3)
    assert net(torch.zeros(1, 5, 64, 64)).shape == (1, 2)
