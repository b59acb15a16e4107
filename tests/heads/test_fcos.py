"""FCOS's head: points and boxes by hand, true strides, and what it refuses."""

import pytest
import torch

from segexp.errors import ConfigError, WiringError
from segexp.heads.fcos import FcosHead
from segexp.types import Level, PointBoxes
from tests.heads.one_stage import DATA, SPEC, ours, pyramid, theirs


def test_output():
    out = ours(FcosHead)(pyramid(), ((128, 256), (100, 200)))
    assert isinstance(out, PointBoxes)
    assert out.levels == (512, 128, 32, 8, 2)
    assert out.class_logits.shape == (2, 682, 3)
    assert out.deltas.shape == out.boxes.shape == (2, 682, 4)
    assert out.quality.shape == (2, 682, 1)


def test_layers_are_torchvisions():
    head, features = ours(FcosHead), pyramid()
    out, published = head(features, ((128, 256),) * 2), theirs(head, features).head(list(features.values()))
    assert torch.equal(out.class_logits, published["cls_logits"])
    assert torch.equal(out.deltas, published["bbox_regression"])
    assert torch.equal(out.quality, published["bbox_ctrness"])


def test_boxes_by_hand():
    spec = {"p3": Level(32, 8), "p4": Level(32, 8)}  # of a dilated backbone
    head = FcosHead(spec, DATA, levels=["p3", "p4"], convs=1)
    with torch.no_grad():
        head.regression_head.bbox_reg.weight.zero_()
        head.regression_head.bbox_reg.bias.copy_(torch.tensor([1.0, 2, 3, -4]))
    out = head(pyramid(1, (16, 24), spec), ((16, 24),))
    assert out.levels == (6, 6)
    assert out.anchors[1].tolist() == [4, -4, 12, 4]  # around (8, 0)
    assert out.boxes[0, 1].tolist() == [8 - 8, 0 - 16, 8 + 24, 0]  # no negative distance
    assert out.boxes[0, 1].tolist() == out.boxes[0, 7].tolist()


def test_every_parameter_has_a_gradient_through_boxes_scores_and_quality():
    head = ours(FcosHead)
    out = head(pyramid(), ((128, 256),) * 2)
    (out.boxes.sum() + out.class_logits.sum() + out.quality.sum()).backward()
    assert not [name for name, p in head.named_parameters() if p.grad is None]


@pytest.mark.parametrize(
    ("spec", "options", "text"),
    [
        (SPEC, {"levels": ["p2"]}, "FcosHead needs the level p2; it is given p3, p4, p5, p6, p7"),
        (SPEC | {"p7": Level(64, 128)}, {}, "levels of one width, a multiple of 32; it is given p3 with 32 channels.*p7 with 64 channels"),
        ({"p3": Level(40, 8)}, {"levels": ["p3"]}, "a multiple of 32; it is given p3 with 40 channels; fix:.*decoder.width=256"),
    ],
)
def test_levels_that_do_not_fit(spec, options, text):
    with pytest.raises(WiringError, match=text):
        FcosHead(spec, DATA, **options)


@pytest.mark.parametrize(("options", "text"), [({"levels": []}, "one level at least"), ({"convs": 0}, "head.convs=0")])
def test_values_that_make_no_sense(options, text):
    with pytest.raises(ConfigError, match=text):
        FcosHead(SPEC, DATA, **options)
