"""Levels, sizes, weights and refusals of timm's plain vision transformers."""

import pytest
import timm
import torch

from segexp.backbones.timm_vit import TimmViT
from segexp.errors import ConfigError, WeightsError
from segexp.types import ClassInfo, DataSpec

RGB = DataSpec((ClassInfo("a"),), frozenset({"semantic"}))
GREY = DataSpec((ClassInfo("a"),), frozenset({"semantic"}), in_channels=1)


@pytest.mark.parametrize(
    ("name", "stride", "width"),
    [("vit_tiny_patch16_224", 16, 192), ("vit_small_patch14_dinov2", 14, 384), ("vit_small_patch16_dinov3", 16, 384)],
)
def test_four_levels_at_the_stride_of_the_patches(name, stride, width):
    with torch.device("meta"):
        net = TimmViT(GREY, name=name).eval()
        out = net(torch.zeros(1, 1, 4 * stride, 6 * stride))
    assert list(net.spec) == ["c2", "c3", "c4", "c5"]
    assert set(net.spec.values()) == {(width, stride)}
    assert net.pad_to == stride
    assert {tuple(level.shape) for level in out.values()} == {(1, width, 4, 6)}


def test_levels_are_evenly_spaced_blocks_of_the_whole_transformer():
    torch.manual_seed(0)
    whole = timm.create_model("vit_tiny_patch16_224").eval()
    net = TimmViT(RGB, name="vit_tiny_patch16_224", output_stride=16).eval()
    assert net.load(whole.state_dict(), "a file") == ["head.bias", "head.weight", "norm.bias", "norm.weight"]
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        wanted = whole.forward_intermediates(image, indices=[2, 5, 8, 11], intermediates_only=True, norm=False)
        for found, level in zip(net(image).values(), wanted, strict=True):
            torch.testing.assert_close(found, level)


def test_position_embeddings_of_another_image_size_are_resampled():
    other = timm.create_model("vit_tiny_patch16_224", img_size=64)
    net = TimmViT(RGB, name="vit_tiny_patch16_224")
    net.load(other.state_dict(), "a file")
    assert net.net.pos_embed.shape == (1, 1 + 14 * 14, 192)
    assert torch.equal(net.net.pos_embed[:, 0], other.pos_embed[:, 0])  # of the class token
    grid = net.net.pos_embed[0, 1:].view(14, 14, 192)
    assert torch.corrcoef(torch.stack([grid[0, 0], other.pos_embed[0, 1]]))[0, 1] > 0.9  # the corner is the corner


def test_every_parameter_is_reached_from_a_level():
    net = TimmViT(RGB, name="vit_tiny_patch16_224").eval()
    sum(level.sum() for level in net(torch.randn(1, 3, 32, 48)).values()).backward()
    assert not [name for name, parameter in net.named_parameters() if parameter.grad is None]


def test_refusals_say_what_would_do():
    with pytest.raises(
        ConfigError, match=r"the patches of vit_tiny_patch16_224 have the side 16, .* stride 8; .*; fix: backbone.output_stride=16"
    ):
        TimmViT(RGB, name="vit_tiny_patch16_224", output_stride=8)
    with pytest.raises(ConfigError, match=r"timm's resnet18 is no plain vision transformer .*; fix: backbone=timm .* vit_tiny_patch16_224"):
        TimmViT(RGB, name="resnet18")
    with pytest.raises(ConfigError, match=r"timm has no network 'vit_tiny_patch16_225'; backbone.name; fix: did you mean vit_tiny_patch16"):
        TimmViT(RGB, name="vit_tiny_patch16_225")


def test_the_hub_without_network_fails_in_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"no pretrained weights of vit_tiny_patch16_224 from the hub: .*; fix: connect"):
        TimmViT(RGB, name="vit_tiny_patch16_224").hub_state()
