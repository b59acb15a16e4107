"""The decoder of DeepLabv3+: rates, levels, and one value per channel in the image pool."""

import pytest
import torch

from segexp.decoders.deeplabv3plus import DeepLabV3Plus
from segexp.errors import WiringError
from segexp.layers.aspp import atrous_rates
from segexp.types import Level

SPEC = {"c2": Level(24, 4), "c5": Level(64, 16)}


@pytest.mark.parametrize(("stride", "rates"), [(32, (3, 6, 9)), (16, (6, 12, 18)), (8, (12, 24, 36))])
def test_rates_follow_the_output_stride(stride, rates):
    assert atrous_rates(stride) == rates
    decoder = DeepLabV3Plus({"c2": Level(24, 4), "c5": Level(64, stride)}, width=16)
    assert tuple(branch[0].dilation[0] for branch in list(decoder.aspp.branches)[1:]) == rates


@pytest.mark.parametrize("fuse_convs", [0, 1, 2])
@pytest.mark.parametrize("separable", [True, False])
def test_emits_semantic_at_the_low_level(fuse_convs, separable):
    decoder = DeepLabV3Plus(SPEC, width=16, low_width=8, fuse_convs=fuse_convs, separable=separable).eval()
    out = decoder({"c2": torch.randn(1, 24, 17, 25), "c5": torch.randn(1, 64, 5, 7)})
    assert decoder.spec["semantic"] == Level(16 if fuse_convs else 24, 4)
    assert out["semantic"].shape == (1, decoder.spec["semantic"].channels, 17, 25)


def test_given_rates_win():
    assert len(DeepLabV3Plus(SPEC, rates=[2, 4]).aspp.branches) == 3


def test_missing_level_is_named():
    with pytest.raises(WiringError, match="DeepLabV3Plus needs the level c2; it is given c5"):
        DeepLabV3Plus({"c5": Level(64, 16)})


def test_a_batch_of_one_image_trains(caplog):
    decoder = DeepLabV3Plus(SPEC, width=16)
    norm = decoder.aspp.pool.project[1]
    norm.running_mean.fill_(0.5)
    for _ in range(2):
        out = decoder({"c2": torch.randn(1, 24, 8, 8), "c5": torch.randn(1, 64, 2, 2)})["semantic"]
    out.sum().backward()
    assert out.isfinite().all()
    assert norm.running_mean.eq(0.5).all()  # one value has no variance: nothing was learned of it
    assert caplog.text.count("a batch of one image") == 1


def test_dilation_is_padded_so_that_borders_are_seen():
    decoder = DeepLabV3Plus(SPEC, width=16).eval()
    out = decoder({"c2": torch.randn(1, 24, 4, 4), "c5": torch.randn(1, 64, 1, 1)})["semantic"]
    assert out.shape[-2:] == (4, 4)


def test_the_aspp_and_the_rest_may_differ():
    decoder = DeepLabV3Plus(SPEC, width=16, separable="two_norms", aspp_separable=False)
    assert decoder.aspp.branches[1][0].groups == 1
    assert [type(part).__name__ for part in decoder.stages[0].fuse[0]] == ["Conv2d", "BatchNorm2d", "ReLU"] * 2
    assert DeepLabV3Plus(SPEC, width=16, separable=True).aspp.branches[1][0].groups == 64


def test_a_convolution_after_the_aspp():
    keys = {on: set(DeepLabV3Plus(SPEC, width=16, post_conv=on).state_dict()) for on in (None, True, False)}
    assert keys[None] == keys[False]
    assert {name.split(".")[0] for name in keys[True] - keys[False]} == {"refine"}


def test_several_low_levels_from_coarse_to_fine():
    spec = SPEC | {"c3": Level(40, 8)}
    decoder = DeepLabV3Plus(spec, low=["c3", "c2"], low_width=[8, 4], width=16, aspp_width=32, fuse_convs=1, fuse_kernel=5).eval()
    assert [tuple(stage.fuse[0][0].weight.shape[2:]) for stage in decoder.stages] == [(5, 5), (5, 5)]
    assert [stage.fuse[0][0].in_channels for stage in decoder.stages] == [32 + 8, 16 + 4]
    with torch.no_grad():
        maps = {"c2": torch.randn(1, 24, 17, 25), "c3": torch.randn(1, 40, 9, 13), "c5": torch.randn(1, 64, 5, 7)}
        x = decoder.stages[0](decoder.aspp(maps["c5"]), maps["c3"])
        assert x.shape == (1, 16, 9, 13)
        assert torch.equal(decoder(maps)["semantic"], decoder.stages[1](x, maps["c2"]))
    assert decoder.spec["semantic"] == Level(16, 4)
