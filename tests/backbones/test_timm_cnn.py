"""Levels, strides, weights and refusals of timm's networks."""

import pytest
import timm
import torch

from segexp.backbones.timm_cnn import TimmCNN
from segexp.errors import ConfigError, WeightsError
from segexp.types import ClassInfo, DataSpec

RGB = DataSpec((ClassInfo("a"),), frozenset({"semantic"}))
GREY = DataSpec((ClassInfo("a"),), frozenset({"semantic"}), in_channels=1)


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv2_050", "tf_efficientnet_lite0", "convnext_atto"])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_levels_are_what_the_spec_says(name, stride):
    net = TimmCNN(RGB, name=name, output_stride=stride).eval()
    assert max(level.stride for level in net.spec.values()) == stride == net.pad_to
    assert list(net.spec)[-1] == "c5"
    out = net(torch.zeros(1, 3, 64, 96))
    for level, (channels, s) in net.spec.items():
        assert out[level].shape == (1, channels, 64 // s, 96 // s)


def test_output_stride_16_keeps_names_by_depth():
    spec = TimmCNN(RGB, name="resnet10t", output_stride=16).spec
    assert (spec["c4"].stride, spec["c5"].stride) == (16, 16)


def test_the_first_block_of_a_dilated_stage_keeps_the_previous_dilation():
    net = TimmCNN(RGB, name="resnet18", output_stride=8).net
    assert [block.conv1.dilation[0] for block in net.layer3] == [1, 2]
    assert [block.conv1.dilation[0] for block in net.layer4] == [2, 4]


def test_weights_go_in_by_name_and_only_the_classifier_is_left_over():
    net, whole = TimmCNN(RGB, name="convnext_atto"), timm.create_model("convnext_atto")
    left = net.load(whole.half().state_dict(), "a file")
    assert left == ["head.fc.bias", "head.fc.weight", "head.norm.bias", "head.norm.weight"]
    assert torch.equal(net.net.stem_0.weight, whole.stem[0].weight.float())
    assert net.net.stem_0.weight.dtype == torch.float32


def test_rgb_weights_fit_other_channel_counts():
    whole = timm.create_model("resnet10t")
    net = TimmCNN(GREY, name="resnet10t")
    net.load(whole.state_dict(), "a file")
    assert net.net.conv1[0].weight.shape[1] == 1
    assert torch.allclose(net.net.conv1[0].weight[:, 0], whole.conv1[0].weight.sum(1), atol=1e-6)
    assert len(net.mean) == 1
    assert net.mean[0] == pytest.approx(sum(TimmCNN(RGB, name="resnet10t").mean) / 3)


def test_weights_of_another_network_are_refused():
    state = timm.create_model("resnet10t").state_dict()
    with pytest.raises(
        WeightsError,
        match=r"of \d+ weights of resnet18 are not in the file, first \S+; w.safetensors; fix: give weights of timm's resnet18",
    ):
        TimmCNN(RGB, name="resnet18").load(state, "w.safetensors")
    state["layer1.0.conv1.weight"] = torch.zeros(1, 1, 3, 3)
    with pytest.raises(WeightsError, match=r"layer1.0.conv1.weight has shape \(1, 1, 3, 3\), the network wants"):
        TimmCNN(RGB, name="resnet10t").load(state, "w.safetensors")


def test_refusals_say_what_would_do():
    with pytest.raises(ConfigError, match=r"timm has no network 'resnet19'; backbone\.name; fix: did you mean resnet18"):
        TimmCNN(RGB, name="resnet19")
    with pytest.raises(ConfigError, match=r"output stride 12; backbone.output_stride; fix: 8, 16 or 32"):
        TimmCNN(RGB, name="resnet18", output_stride=12)
    with pytest.raises(
        ConfigError, match=r"vgg11_bn can't be built at output stride 16 .*fix: backbone.output_stride=32, or a network that"
    ):
        TimmCNN(RGB, name="vgg11_bn", output_stride=16)


def test_the_hub_without_network_fails_in_one_line(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        WeightsError, match=r"no pretrained weights of resnet10t from the hub: .*; backbone.weights=hub; fix: connect"
    ) as caught:
        TimmCNN(RGB, name="resnet10t").hub_state()
    assert "\n" not in str(caught.value)
