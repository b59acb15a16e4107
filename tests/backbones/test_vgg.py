"""VGG-16 of DeepLabv1: sizes, dilation, torchvision's weights."""

import pytest
import torch
from torchvision import models

from segexp.backbones.vgg import Vgg
from segexp.errors import ConfigError
from segexp.types import ClassInfo, DataSpec

RGB = DataSpec((ClassInfo("a"),), frozenset({"semantic"}))


def convolutions(net):
    return [layer for layer in net.net.features if isinstance(layer, torch.nn.Conv2d)]


def test_the_published_form():
    net = Vgg(RGB).eval()
    assert [(name, level.channels, level.stride) for name, level in net.spec.items()] == [
        ("c1", 64, 2),
        ("c2", 128, 4),
        ("c3", 256, 8),
        ("c4", 512, 8),
        ("c5", 512, 8),
    ]
    assert [conv.dilation[0] for conv in convolutions(net)] == [1] * 10 + [2] * 3
    pools = [layer.pool for layer in net.net.features if hasattr(layer, "pool")]
    assert [(pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode) for pool in pools] == [
        (3, 2, 1, 1, True),
        (3, 2, 1, 1, True),
        (3, 2, 1, 1, True),
        (3, 1, 1, 1, True),
        (3, 1, 1, 1, True),
    ]
    with torch.no_grad():
        assert net(torch.zeros(1, 3, 321, 33))["c5"].shape == (1, 512, 41, 5)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_levels_are_what_the_spec_says(stride):
    with torch.device("meta"):
        net = Vgg(RGB, output_stride=stride)
        for height, width in ((64, 96), (65, 97)):
            levels = net(torch.zeros(1, 3, height, width))
            for name, (channels, s) in net.spec.items():
                assert levels[name].shape == (1, channels, -(-height // s), -(-width // s))


def test_torchvisions_weights_go_in():
    whole, net = models.vgg16(), Vgg(RGB)
    left = net.load(whole.state_dict(), "a file")
    assert left == [f"classifier.{i}.{key}" for i in (0, 3, 6) for key in ("bias", "weight")]
    assert torch.equal(net.net.features[28].weight, whole.features[28].weight)


def test_the_grid_multiplies_the_last_three():
    with torch.device("meta"):
        assert [conv.dilation[0] for conv in convolutions(Vgg(RGB, multi_grid=[1, 2, 4]))][-3:] == [2, 4, 8]


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("name", "vgg19", r"no such VGG; backbone.name=vgg19; fix: vgg16"),
        ("output_stride", 4, r"output stride 4; backbone.output_stride; fix: backbone\.output_stride=8\|16\|32"),
        ("multi_grid", [1, 2], r"a factor for each; backbone.multi_grid=\[1, 2\]"),
        ("first_block_dilation", "next", r"backbone.first_block_dilation=next; fix: backbone\.first_block_dilation=previous\|full"),
        ("drop_path", 0.1, r"no stochastic depth; backbone.drop_path; fix: backbone.drop_path=0"),
    ],
)
def test_refusals_say_what_would_do(key, value, text):
    with pytest.raises(ConfigError, match=text):
        Vgg(RGB, **{key: value})
