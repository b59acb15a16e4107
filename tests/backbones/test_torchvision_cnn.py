"""Levels, strides, weights and refusals of torchvision's networks."""

import pytest
import torch
from torchvision import models

from segexp.backbones.torchvision_cnn import TorchvisionCNN
from segexp.errors import ConfigError, WeightsError
from segexp.types import ClassInfo, DataSpec

RGB = DataSpec((ClassInfo("a"),), frozenset({"semantic"}))
FIVE = DataSpec((ClassInfo("a"),), frozenset({"semantic"}), in_channels=5)


@pytest.mark.parametrize(
    ("name", "stride", "first", "channels"),
    [
        ("resnet18", 8, "c1", [64, 64, 128, 256, 512]),
        ("mobilenet_v3_small", 16, "c1", [16, 16, 24, 48, 576]),
        ("efficientnet_b0", 16, "c1", [16, 24, 40, 112, 1280]),
        ("regnet_y_400mf", 16, "c1", [32, 48, 104, 208, 440]),
        ("convnext_tiny", 16, "c2", [96, 192, 384, 768]),
        ("vgg11_bn", 8, "c1", [128, 256, 512, 512, 512]),
        ("densenet121", 16, "c1", [64, 256, 512, 1024, 1024]),
        ("vgg11_bn", 32, "c1", [128, 256, 512, 512, 512]),
    ],
)
def test_levels_are_what_the_spec_says(name, stride, first, channels):
    with torch.device("meta"):
        net = TorchvisionCNN(RGB, name=name, output_stride=stride).eval()
        out = net(torch.zeros(1, 3, 64, 96))
    assert next(iter(net.spec)) == first
    assert [level.channels for level in net.spec.values()] == channels
    assert max(level.stride for level in net.spec.values()) == stride == net.pad_to
    for level, (width, s) in net.spec.items():
        assert out[level].shape == (1, width, 64 // s, 96 // s)


def test_levels_are_the_networks_own():
    torch.manual_seed(0)
    whole = models.resnet18().eval()
    net = TorchvisionCNN(RGB, name="resnet18", output_stride=32).eval()
    assert net.load(whole.state_dict(), "a file") == ["fc.bias", "fc.weight"]
    image = torch.randn(1, 3, 64, 64)
    x = whole.relu(whole.bn1(whole.conv1(image)))
    wanted = [x]
    x = whole.maxpool(x)
    for layer in (whole.layer1, whole.layer2, whole.layer3, whole.layer4):
        x = layer(x)
        wanted.append(x)
    for found, level in zip(net(image).values(), wanted, strict=True):
        assert torch.equal(found, level)


def test_other_channels():
    net = TorchvisionCNN(FIVE, name="resnet18")
    assert net(torch.zeros(1, 5, 32, 32))["c5"].shape == (1, 512, 2, 2)
    assert (len(net.mean), len(net.std)) == (5, 5)


def test_the_hub_is_asked_for_the_default_weights(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(WeightsError, match=r"no pretrained weights of resnet18 from the hub: no network; backbone.weights=hub"):
        TorchvisionCNN(RGB, name="resnet18").hub_state()


def test_stochastic_depth_is_given_or_refused():
    kinds = {type(m).__name__: m.p for m in TorchvisionCNN(RGB, name="efficientnet_b0").net.modules() if hasattr(m, "mode")}
    assert set(kinds.values()) == {0.0}  # not torchvision's own 0.2
    with pytest.raises(ConfigError, match=r"resnet18 has no stochastic depth; backbone.drop_path; fix: backbone.drop_path=0"):
        TorchvisionCNN(RGB, name="resnet18", drop_path=0.1)


def test_refusals_say_what_would_do():
    with pytest.raises(ConfigError, match=r"torchvision has no network 'resnet19'; backbone.name; fix: did you mean resnet18"):
        TorchvisionCNN(RGB, name="resnet19")
    with pytest.raises(ConfigError, match=r"torchvision's swin_t has no maps \[B,C,H/s,W/s\] .* such as resnet18, .*; or backbone=timm"):
        TorchvisionCNN(RGB, name="swin_t")
