"""RetinaNet's head: anchors and boxes by hand, as torchvision's, and what it refuses."""

import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from segexp.errors import ConfigError, WiringError
from segexp.heads.retinanet import RetinaNetHead
from segexp.types import AnchorBoxes, Level
from tests.heads.one_stage import DATA, SIZE, SPEC, ours, pyramid, theirs


def test_layers_and_anchors_are_torchvisions():
    head, features = ours(RetinaNetHead), pyramid()
    out, model = head(features, (SIZE,) * 2), theirs(head, features)
    assert isinstance(out, AnchorBoxes)
    published = model.head(list(features.values()))
    assert torch.equal(out.class_logits, published["cls_logits"])
    assert torch.equal(out.deltas, published["bbox_regression"])
    anchors = model.anchor_generator(ImageList(torch.zeros(2, 3, *SIZE), [SIZE] * 2), list(features.values()))
    assert torch.equal(out.anchors, anchors[0])
    assert torch.allclose(out.boxes[1], model.box_coder.decode_single(out.deltas[1], out.anchors), atol=1e-4)
    assert out.levels == tuple(9 * n for n in (512, 128, 32, 8, 2))
    assert out.quality is None


def test_sizes_of_anchors():
    assert RetinaNetHead(SPEC, DATA).sizes == [(32, 40, 50), (64, 80, 101), (128, 161, 203), (256, 322, 406), (512, 645, 812)]
    dilated = {"p4": Level(32, 16), "p5": Level(32, 16)}
    assert RetinaNetHead(dilated, DATA, levels=["p4", "p5"], scales=1).sizes == [(64,), (128,)]
    assert RetinaNetHead(dilated, DATA, levels=["p4", "p5"], scales=2, size=10).sizes == [(10, 14), (20, 28)]


def test_true_strides():
    spec = {"p3": Level(32, 8)}
    out = RetinaNetHead(spec, DATA, levels=["p3"], scales=1, ratios=[1.0])(pyramid(1, (65, 97), spec), ((65, 97),))
    assert out.levels == (9 * 13,)
    assert out.anchors[-1].tolist() == [80, 48, 112, 80]  # around (96, 64)


def test_without_norm_unless_asked():
    assert not [m for m in RetinaNetHead(SPEC, DATA).modules() if isinstance(m, torch.nn.GroupNorm)]
    assert len([m for m in RetinaNetHead(SPEC, DATA, norm=True).modules() if isinstance(m, torch.nn.GroupNorm)]) == 8


def test_a_narrow_pyramid_cannot_be_normed():
    spec = {name: Level(24, stride) for name, (_, stride) in SPEC.items()}
    RetinaNetHead(spec, DATA)
    with pytest.raises(WiringError, match="a multiple of 32"):
        RetinaNetHead(spec, DATA, norm=True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ratios": []}, r"head.ratios=\[\]"),
        ({"ratios": [0, 1]}, r"head.ratios=\[0,1\]"),
        ({"scales": 0}, "head.scales=0"),
        ({"size": 0}, "head.size=0"),
    ],
)
def test_values_that_make_no_sense(options, text):
    with pytest.raises(ConfigError, match=text):
        RetinaNetHead(SPEC, DATA, **options)
