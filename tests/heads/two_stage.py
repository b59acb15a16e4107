"""torchvision's Mask R-CNN and our head with the same random weights, on a pyramid that needs no backbone."""

from collections import OrderedDict

import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from segexp.heads.roi import RoiHead
from segexp.types import ClassInfo, DataSpec, Level, Targets

CHANNELS, CLASSES, SIDES = 8, 3, (16, 32, 64, 128, 256)
DATA = DataSpec(tuple(ClassInfo(f"c{i}", is_thing=True) for i in range(CLASSES)), frozenset({"masks"}))
SPEC = {f"p{i}": Level(CHANNELS, 2**i) for i in range(2, 7)}
NAMES = dict(zip(SPEC, ("0", "1", "2", "3", "pool"), strict=True))  # torchvision's
OPTIONS = {"sizes": SIDES, "width": 16, "mask_width": 16, "samples": 64, "masks": True}


def pyramid(batch=2, size=(96, 128), seed=0):
    rng = torch.Generator().manual_seed(seed)
    return {name: torch.randn(batch, CHANNELS, -(-size[0] // s), -(-size[1] // s), generator=rng) for name, (_, s) in SPEC.items()}


def ours(**options):
    torch.manual_seed(0)
    head = RoiHead(SPEC, DATA, **(OPTIONS | options)).eval()
    with torch.no_grad():  # so that scores and boxes differ
        head.rpn.cls_logits.weight.mul_(30)
        head.rpn.bbox_pred.weight.mul_(30)
        head.box_predictor.cls_score.weight.mul_(20)
        head.box_predictor.bbox_pred.weight.mul_(10)
    return head


def theirs(head):
    """torchvision's model with the weights of ours; its background is class 0."""

    class Body(nn.Module):
        out_channels = CHANNELS

    model = MaskRCNN(
        Body(),
        rpn_anchor_generator=AnchorGenerator(tuple((s,) for s in SIDES), ((0.5, 1.0, 2.0),) * len(SIDES)),
        box_head=TwoMLPHead(CHANNELS * 49, 16),
        box_predictor=FastRCNNPredictor(16, CLASSES + 1),
        mask_head=MaskRCNNHeads(CHANNELS, (16,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(16, 16, CLASSES + 1),
    ).eval()
    model.rpn.head.load_state_dict(head.rpn.state_dict())
    model.roi_heads.box_head.load_state_dict(head.box_head.state_dict())
    model.roi_heads.mask_head.load_state_dict(head.mask_head.state_dict())
    state = {name: value.roll(value.shape[0] // (CLASSES + 1), 0) for name, value in head.box_predictor.state_dict().items()}
    model.roi_heads.box_predictor.load_state_dict(state)
    state = dict(head.mask_predictor.state_dict())
    for name in ("mask_fcn_logits.weight", "mask_fcn_logits.bias"):
        state[name] = torch.cat([state[name][:1], state[name]])
    model.roi_heads.mask_predictor.load_state_dict(state)
    return model


def named(features):
    return OrderedDict((NAMES[name], x) for name, x in features.items())


def scene(size=(96, 128), key=1, count=3):
    """An image with discs of different classes, overlapping or not."""
    ys, xs = torch.arange(size[0])[:, None], torch.arange(size[1])[None]
    places = ((30, 40, 18), (60, 90, 25), (50, 20, 9))[:count]
    masks = torch.stack([(ys - y) ** 2 + (xs - x) ** 2 < r**2 for y, x, r in places]) if count else torch.zeros(0, *size, dtype=torch.bool)
    boxes = torch.tensor([[x - r + 1, y - r + 1, x + r, y + r] for y, x, r in places], dtype=torch.float32).reshape(-1, 4)
    return Targets(boxes=boxes, labels=torch.arange(count), crowd=torch.zeros(count, dtype=torch.bool), masks=masks, key=key)
