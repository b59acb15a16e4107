"""Whole one-stage detectors: with torchvision's weights, from pixels to boxes, what torchvision finds."""

import pytest
import torch
from torch import nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from segexp.build import build, checked, open_dataset
from segexp.config import compose, session
from segexp.types import ClassInfo, DataSpec

CLASSES, SIZE = 4, (128, 256)
SPEC = DataSpec(tuple(ClassInfo(f"c{i}", is_thing=True) for i in range(CLASSES)), frozenset({"boxes"}))
KINDS = {"fcos": FCOS, "retinanet": RetinaNet}
OVERRIDES = ["backbone=resnet18", "postprocess.nms_threshold=0.5", "postprocess.candidates=100"]


@pytest.fixture(scope="module", autouse=True)
def _one_session():
    with session():
        yield


def published(name):
    """torchvision's detector on a ResNet-18 with random weights, whose scores differ from place to place."""
    torch.manual_seed(0)
    extra = LastLevelP6P7(256, 256)
    layers = {"returned_layers": [2, 3, 4], "extra_blocks": extra, "trainable_layers": 5, "norm_layer": nn.BatchNorm2d}
    body = resnet_fpn_backbone(backbone_name="resnet18", weights=None, **layers)
    options = {"min_size": SIZE[0], "max_size": SIZE[1], "score_thresh": 0.05, "nms_thresh": 0.5, "topk_candidates": 100}
    for norm in body.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
    body.train()(torch.rand(4, 3, *SIZE))  # random layers make huge values where norms know no statistics
    model = KINDS[name](body, CLASSES, detections_per_img=100, **options).eval()
    with torch.no_grad():
        if name == "fcos":  # which norms between its layers
            model.head.classification_head.cls_logits.weight.mul_(10)
            model.head.regression_head.bbox_reg.bias.fill_(1.5)
        model.head.classification_head.cls_logits.bias.fill_(-1)
    return model


def as_ours(state):
    """torchvision's names to ours."""
    places = {"backbone.body.": "backbone.net.", "backbone.fpn.": "decoder.fpn."}
    found = {}
    for name, value in state.items():
        old = next((place for place in places if name.startswith(place)), "")
        found[places.get(old, "") + name.removeprefix(old)] = value
    return found


@pytest.mark.parametrize("name", KINDS)
def test_detections_are_torchvisions(name):
    theirs = published(name)
    model = build(compose("train", [f"model={name}", *OVERRIDES]), spec=SPEC, weights=False).task.model.eval()
    model.load_state_dict(as_ours(theirs.state_dict()))
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(list(images))
    for found, other in zip(model.predict(images), expected, strict=True):
        kept = (other["boxes"][:, 2:] > other["boxes"][:, :2]).all(1)  # torchvision keeps boxes of no area
        number = int(kept.sum())
        assert len(found.boxes) >= number > 20
        torch.testing.assert_close(found.scores[:number], other["scores"][kept], rtol=0, atol=1e-4)
        torch.testing.assert_close(found.boxes[:number], other["boxes"][kept], rtol=0, atol=1e-2)
        assert torch.equal(found.labels[:number], other["labels"][kept])


@pytest.mark.parametrize("name", KINDS)
def test_every_stride_is_possible(name):
    for more, strides in ((["backbone.output_stride=16"], [8, 16, 16, 32, 64]), (["backbone.output_stride=8"], [8, 8, 8, 16, 32])):
        config = compose("train", [f"model={name}", "backbone=resnet18", *more])
        head = checked(config, open_dataset(config).spec).model.head
        assert list(head.strides.values()) == strides
