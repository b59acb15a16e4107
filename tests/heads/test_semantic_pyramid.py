"""The semantic branch of Panoptic-FPN: levels of any size to one map of logits."""

import pytest
import torch
from torch import nn

from segexp.errors import ConfigError, WiringError
from segexp.heads.semantic_pyramid import SemanticPyramidHead
from segexp.types import ClassInfo, DataSpec, Level, SemanticLogits

DATA = DataSpec((ClassInfo("sky"), ClassInfo("car", True), ClassInfo("road")), frozenset({"segments"}))
SPEC = {f"p{i}": Level(8, 2**i) for i in range(2, 6)}


def test_logits_of_every_class_at_the_first_levels_stride_for_any_size():
    head = SemanticPyramidHead(SPEC, DATA, width=12)
    for size in ((64, 96), (50, 70)):
        maps = {name: torch.randn(2, 8, -(-size[0] // s), -(-size[1] // s)) for name, (_, s) in SPEC.items()}
        out = head(maps, (size,) * 2)
        assert isinstance(out, SemanticLogits)
        assert (out.logits.shape, out.stride) == ((2, 3, *maps["p2"].shape[-2:]), 4)
    out.logits.sum().backward()
    assert all(p.grad is not None for p in head.parameters())


def test_one_convolution_for_each_doubling_and_groups_to_norm_by():
    head = SemanticPyramidHead(SPEC, DATA, width=64)
    assert [len(climb.convs) for climb in head.climbs] == [1, 1, 2, 3]
    norms = [m for m in head.modules() if isinstance(m, (nn.GroupNorm, nn.BatchNorm2d))]
    assert [type(m) for m in norms] == [nn.GroupNorm] * 7
    assert {m.num_groups for m in norms} == {32}


def test_equal_strides_and_one_level():
    spec = SPEC | {"p5": Level(8, 16)}
    maps = {name: torch.randn(1, 8, 64 // s, 64 // s) for name, (_, s) in spec.items()}
    assert SemanticPyramidHead(spec, DATA)(maps, ((64, 64),)).logits.shape == (1, 3, 16, 16)
    assert SemanticPyramidHead(spec, DATA, levels=["p4"])(maps, ((64, 64),)).stride == 16


@pytest.mark.parametrize(("error", "options", "message"), [
    (ConfigError, {"width": 0}, "head.width=0; fix: head.width=128"),
    (ConfigError, {"levels": []}, "it reads one level at least; head.levels=[]"),
    (WiringError, {"levels": ["p3", "p2"]}, "p2 has stride 4, which isn't that of p3, 8, doubled some times; head.levels"),
    (WiringError, {"levels": ["p2", "p9"]}, "SemanticPyramidHead needs the level p9"),
])  # fmt: skip
def test_refusals(error, options, message):
    with pytest.raises(error) as caught:
        SemanticPyramidHead(SPEC, DATA, **options)
    assert message in str(caught.value)
