"""The plain Xception: levels, parameters, weights."""

import pytest
import timm
import torch

from segexp.backbones.xception import Xception
from segexp.errors import ConfigError
from segexp.types import ClassInfo, DataSpec

RGB = DataSpec((ClassInfo("a"),), frozenset({"semantic"}))


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_levels_are_what_the_spec_says(stride):
    with torch.device("meta"):
        net = Xception(RGB, output_stride=stride)
        assert sum(p.numel() for p in net.parameters()) == 20_802_856
        assert [level.channels for level in net.spec.values()] == [64, 128, 256, 728, 2048]
        for height, width in ((64, 96), (65, 97)):
            levels = net(torch.zeros(1, 3, height, width))
            for name, (channels, s) in net.spec.items():
                assert levels[name].shape == (1, channels, -(-height // s), -(-width // s))


def test_timms_weights_go_in_but_the_last_norm():
    whole, net = timm.create_model("legacy_xception"), Xception(RGB)
    left = net.load(whole.state_dict(), "a file")
    assert left == [f"bn4.{key}" for key in ("bias", "num_batches_tracked", "running_mean", "running_var", "weight")] + [
        "fc.bias",
        "fc.weight",
    ]
    assert torch.equal(net.net.block7.rep[1].conv1.weight, whole.block7.rep[1].conv1.weight)


def test_refusals_say_what_would_do():
    with pytest.raises(ConfigError, match=r"no such network; backbone.name=xception65; fix: legacy_xception; backbone=timm for others"):
        Xception(RGB, name="xception65")
    with pytest.raises(ConfigError, match=r"legacy_xception has no stochastic depth; backbone.drop_path; fix: backbone.drop_path=0"):
        Xception(RGB, drop_path=0.1)
