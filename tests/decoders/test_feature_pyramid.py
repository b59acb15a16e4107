"""Feature pyramid: names and true strides of its levels, extra levels, and the sum by hand."""

import pytest
import torch
from torch import nn

from segexp.decoders.feature_pyramid import FeaturePyramid
from segexp.errors import ConfigError
from segexp.types import Level

SPEC = {f"c{n}": Level(4 * n, 2**n) for n in (2, 3, 4, 5)}
DILATED = SPEC | {"c5": Level(20, 16)}


def features(spec, height, width):
    return {name: torch.randn(1, level.channels, height // level.stride, width // level.stride) for name, level in spec.items()}


@pytest.mark.parametrize(
    ("options", "strides"),
    [
        ({"extra": "none"}, {"p2": 4, "p3": 8, "p4": 16, "p5": 32}),
        ({}, {"p2": 4, "p3": 8, "p4": 16, "p5": 32, "p6": 64}),
        ({"levels": ["c3", "c4", "c5"], "extra": "convs"}, {"p3": 8, "p4": 16, "p5": 32, "p6": 64, "p7": 128}),
        ({"levels": ["c3", "c4"], "extra": "convs_on_backbone"}, {"p3": 8, "p4": 16, "p5": 32, "p6": 64}),
    ],
)
def test_levels(options, strides):
    decoder = FeaturePyramid(SPEC, width=8, **options)
    assert {name: level.stride for name, level in decoder.spec.items()} == strides
    out = decoder(features(SPEC, 96, 160))
    assert {name: tuple(x.shape) for name, x in out.items()} == {n: (1, 8, -(-96 // s), -(-160 // s)) for n, s in strides.items()}


def test_strides_of_a_dilated_backbone():
    decoder = FeaturePyramid(DILATED, width=8, extra="convs")
    assert [level.stride for level in decoder.spec.values()] == [4, 8, 16, 16, 32, 64]
    out = decoder(features(DILATED, 96, 96))
    assert [x.shape[-1] for x in out.values()] == [24, 12, 6, 6, 3, 2]


def test_what_the_extra_convolutions_read():
    of_pyramid = FeaturePyramid(SPEC, width=20, extra="convs")  # c5 has 20 channels, too
    of_backbone = FeaturePyramid(SPEC, width=20, extra="convs_on_backbone")
    of_backbone.load_state_dict(of_pyramid.state_dict())
    given = features(SPEC, 96, 96)
    assert not torch.equal(of_pyramid(given)["p6"], of_backbone(given)["p6"])
    assert torch.equal(of_backbone(given)["p6"], of_backbone.fpn.extra_blocks.p6(given["c5"]))


def test_with_norms_levels_have_values_near_one_whatever_the_backbone_emits():
    given = {name: x * 30 for name, x in features(SPEC, 96, 96).items()}
    with_norms, without = (FeaturePyramid(SPEC, width=8, extra="none", norm=norm)(given) for norm in (True, False))
    assert all(abs(float(x.std()) - 1) < 0.1 for x in with_norms.values())
    assert all(float(x.std()) > 3 for x in without.values())


def test_the_sum_by_hand():
    decoder = FeaturePyramid({"c4": Level(1, 16), "c5": Level(1, 32)}, levels=["c4", "c5"], width=1)
    for block in decoder.fpn.inner_blocks:
        nn.init.ones_(block[0].weight)
    decoder.fpn.layer_blocks = nn.ModuleList([nn.Identity(), nn.Identity()])
    out = decoder({"c4": torch.full((1, 1, 2, 3), 1.0), "c5": torch.tensor([[[[10.0, 30.0]]]])})
    assert out["p4"][0, 0].tolist() == [[11, 11, 31]] * 2  # the nearest of 10 and 30
    assert out["p5"][0, 0].tolist() == [[10, 30]]
    assert out["p6"][0, 0].tolist() == [[10]]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"levels": []}, r"decoder.levels=\[\]"),
        ({"extra": "p6"}, r"decoder.extra=p6; fix: decoder.extra=none\|pool\|convs\|convs_on_backbone"),
        ({"width": 0}, "decoder.width=0"),
    ],
)
def test_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        FeaturePyramid(SPEC, **options)


def test_only_levels_that_can_be_named():
    with pytest.raises(ConfigError, match=r"levels c<n> become p<n>; decoder.levels=\[semantic\]"):
        FeaturePyramid({"semantic": Level(8, 4)}, levels=["semantic"])
