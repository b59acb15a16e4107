"""The bottom-up panoptic head: three branches, vectors in pixels."""

import pytest
import torch

from segexp.errors import ConfigError, WiringError
from segexp.heads.center_offset import CenterOffsetHead
from segexp.types import CenterOffset, ClassInfo, DataSpec, Level

DATA = DataSpec((ClassInfo("sky"), ClassInfo("car", True), ClassInfo("road")), frozenset({"segments"}))
SPEC = {"semantic": Level(16, 4), "instance": Level(8, 4)}


def test_emits_classes_a_heatmap_and_vectors_in_pixels():
    head = CenterOffsetHead(SPEC, DATA, semantic_width=12, instance_width=6).eval()
    maps = {"semantic": torch.randn(2, 16, 5, 7), "instance": torch.randn(2, 8, 5, 7)}
    with torch.no_grad():
        out = head(maps, ((20, 28),) * 2)
        assert torch.equal(out.offset, 4 * head.offset(maps["instance"]))  # four pixels to a cell
    assert isinstance(out, CenterOffset)
    assert (out.semantic.shape, out.center.shape, out.offset.shape) == ((2, 3, 5, 7), (2, 1, 5, 7), (2, 2, 5, 7))
    assert (out.stride, out.align_corners) == (4, False)


@pytest.mark.parametrize(("options", "center", "offset"), [({}, [5], [5]), ({"center_dense": True}, [3, 3], [5])])
def test_the_forms_of_the_branches(options, center, offset):
    head = CenterOffsetHead(SPEC, DATA, **options)
    kernels = [[part[0].kernel_size[0] for part in branch[:-1]] for branch in (head.center, head.offset)]
    assert kernels == [center, offset]
    assert head.offset[0][0].groups == 8
    assert (head.center[0][0].groups == 1) == bool(options)


def test_convolutions_before_the_last_keep_the_width_of_the_level():
    head = CenterOffsetHead(SPEC, DATA, separable=False, kernel=3, convs=2, instance_width=6)
    assert [(part[0].in_channels, part[0].out_channels) for part in head.offset[:-1]] == [(8, 8), (8, 6)]


@pytest.mark.parametrize(("options", "message"), [
    ({"kernel": 4}, "a kernel's side is a whole odd number; head.kernel=4; fix: head.kernel=3|5"),
    ({"convs": 0}, "each branch has one convolution at least; head.convs=0; fix: head.convs=1|2"),
    ({"separable": "maybe"}, "head.separable=maybe"),
    ({"semantic_width": 0}, "head.semantic_width=0; fix: head.semantic_width=256"),
    ({"instance_width": 0}, "head.instance_width=0; fix: head.instance_width=32"),
])  # fmt: skip
def test_refusals(options, message):
    with pytest.raises(ConfigError) as error:
        CenterOffsetHead(SPEC, DATA, **options)
    assert message in str(error.value)


def test_levels():
    with pytest.raises(WiringError, match="CenterOffsetHead needs the level instance; it is given semantic"):
        CenterOffsetHead({"semantic": Level(16, 4)}, DATA)
    with pytest.raises(WiringError, match="semantic and instance must have one stride; they have 4 and 8") as caught:
        CenterOffsetHead({"semantic": Level(16, 4), "instance": Level(8, 8)}, DATA)
    assert "decoder.parts.instance.low=[c3,c2]" in caught.value.fix
