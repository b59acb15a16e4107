"""Levels, strides, weights and refusals of segmentation-models-pytorch's encoders."""

import pytest
import segmentation_models_pytorch as smp
import torch

from segexp.backbones.smp_encoder import SmpEncoder
from segexp.errors import ConfigError, WeightsError
from segexp.types import ClassInfo, DataSpec

RGB = DataSpec((ClassInfo("a"),), frozenset({"semantic"}))
GREY = DataSpec((ClassInfo("a"),), frozenset({"semantic"}), in_channels=1)


@pytest.mark.parametrize(
    ("name", "stride", "first", "channels"),
    [
        ("mit_b0", 32, "c2", [32, 64, 160, 256]),
        ("mobileone_s0", 16, "c1", [48, 48, 128, 256, 1024]),
        ("dpn68", 8, "c1", [10, 144, 320, 704, 832]),
        ("efficientnet-b0", 8, "c1", [32, 24, 40, 112, 320]),
        ("densenet121", 16, "c1", [64, 256, 512, 1024, 1024]),
        ("densenet121", 32, "c1", [64, 256, 512, 1024, 1024]),
    ],
)
def test_levels_are_what_the_spec_says(name, stride, first, channels):
    with torch.device("meta"):
        net = SmpEncoder(RGB, name=name, output_stride=stride).eval()
        out = net(torch.zeros(1, 3, 64, 96))
    assert next(iter(net.spec)) == first
    assert [level.channels for level in net.spec.values()] == channels
    assert max(level.stride for level in net.spec.values()) == stride == net.pad_to
    for level, (width, s) in net.spec.items():
        assert out[level].shape == (1, width, 64 // s, 96 // s)


def test_weights_go_in_by_name_and_fit_grey_images():
    whole = smp.encoders.get_encoder("mit_b0")
    net = SmpEncoder(GREY, name="mit_b0", output_stride=32)
    assert net.load(dict(whole.state_dict()) | {"head.weight": torch.zeros(1)}, "a file") == ["head.weight"]
    theirs = whole.state_dict()["patch_embed1.proj.weight"]
    assert torch.allclose(net.net.patch_embed1.proj.weight, theirs.sum(1, keepdim=True), atol=1e-6)
    assert net(torch.zeros(1, 1, 32, 64))["c2"].shape == (1, 32, 8, 16)


def test_the_colours_are_those_of_the_weights():
    with torch.device("meta"):
        assert SmpEncoder(RGB, name="mobileone_s0").mean == (0.485, 0.456, 0.406)
        assert SmpEncoder(RGB, name="xception").std == (0.5, 0.5, 0.5)


def test_stochastic_depth_is_given_or_refused():
    assert SmpEncoder(RGB, name="mit_b0", output_stride=32, drop_path=0.3).net.block4[1].drop_path.drop_prob == pytest.approx(0.3)
    assert not hasattr(SmpEncoder(RGB, name="mit_b0", output_stride=32).net.block4[1].drop_path, "drop_prob")
    assert SmpEncoder(RGB, name="efficientnet-b0", output_stride=32).net._drop_connect_rate == 0.0
    with pytest.raises(ConfigError, match=r"mobileone_s0 has no stochastic depth; backbone.drop_path; fix: backbone.drop_path=0"):
        SmpEncoder(RGB, name="mobileone_s0", drop_path=0.1)


def test_the_hub_without_network_fails_in_one_line(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", offline)
    with pytest.raises(WeightsError, match=r"no pretrained weights of mit_b0 from the hub: no network; backbone.weights=hub"):
        SmpEncoder(RGB, name="mit_b0", output_stride=32).hub_state()


def test_refusals_say_what_would_do():
    with pytest.raises(ConfigError, match=r"has no network 'mit_b9'; .*; fix: did you mean mit_b.*; or backbone=timm for timm's"):
        SmpEncoder(RGB, name="mit_b9")
    with pytest.raises(
        ConfigError, match=r"mit_b0 can't have output stride 16: attention over tokens has no dilation; .*stride=32, or a network"
    ):
        SmpEncoder(RGB, name="mit_b0", output_stride=16)


def test_the_full_dilation_is_the_librarys_own():
    torch.manual_seed(0)
    theirs = smp.encoders.get_encoder("resnet50", weights=None, output_stride=8).eval()
    ours = SmpEncoder(RGB, name="resnet50", output_stride=8, first_block_dilation="full").eval()
    previous = SmpEncoder(RGB, name="resnet50", output_stride=8).eval()
    for net in (ours, previous):
        net.net.load_state_dict(theirs.state_dict())
    for layer in theirs.modules():  # a dilated 1x1 is the same convolution by another kernel, with its own rounding
        if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (1, 1):
            layer.dilation = (1, 1)
    image = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        wanted = theirs(image)[-1]
        assert torch.equal(ours(image)["c5"], wanted)
        assert not torch.allclose(previous(image)["c5"], wanted)
