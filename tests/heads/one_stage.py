"""torchvision's one-stage detectors and ours with the same random weights, on a pyramid that needs no backbone."""

import torch
from torch import nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead as Theirs

from segexp.heads.fcos import FcosHead
from segexp.heads.retinanet import RetinaNetHead
from segexp.types import Batch, ClassInfo, DataSpec, Level, Targets

CHANNELS, CLASSES, SIZE = 32, 3, (128, 256)  # a multiple of every stride: torchvision guesses them
DATA = DataSpec(tuple(ClassInfo(f"c{i}", is_thing=True) for i in range(CLASSES)), frozenset({"boxes"}))
SPEC = {f"p{i}": Level(CHANNELS, 2**i) for i in range(3, 8)}
VALID = (SIZE, (100, 200))


def pyramid(batch=2, size=SIZE, spec=None, seed=0):
    rng = torch.Generator().manual_seed(seed)
    levels = (spec or SPEC).items()
    return {name: torch.randn(batch, CHANNELS, -(-size[0] // s), -(-size[1] // s), generator=rng) for name, (_, s) in levels}


def ours(kind, spec=None, **options):
    """A head whose scores and boxes differ from place to place."""
    torch.manual_seed(0)
    head = kind(spec or SPEC, DATA, **options).eval()
    with torch.no_grad():
        for conv in [*head.classification_head.conv.modules(), *head.regression_head.conv.modules()]:
            if isinstance(conv, nn.Conv2d):
                conv.weight.mul_(6)
        head.classification_head.cls_logits.weight.mul_(40 if kind is RetinaNetHead else 25)
        head.regression_head.bbox_reg.weight.mul_(10)
        if kind is FcosHead:
            head.regression_head.bbox_reg.bias.fill_(1.5)
            head.regression_head.bbox_ctrness.weight.mul_(5)
    return head


def theirs(head, features, **options):
    """torchvision's model with the layers of ours, which sees these features whatever the image."""

    class Body(nn.Module):
        out_channels = CHANNELS

        def forward(self, images):
            return features

    plain = {"min_size": SIZE[0], "max_size": SIZE[1], "_skip_resize": True, "detections_per_img": 100}
    if isinstance(head, FcosHead):
        made = FCOSHead(CHANNELS, 1, CLASSES, 4)
        model = FCOS(Body(), CLASSES, head=made, **plain, **options)
    else:
        anchors = AnchorGenerator(tuple(head.sizes), (head.ratios,) * len(head.sizes))
        made = Theirs(CHANNELS, 9, CLASSES)
        model = RetinaNet(Body(), CLASSES, anchor_generator=anchors, head=made, **plain, **options)
    made.load_state_dict(head.state_dict())
    model.eval().transform.train()  # without resizing
    return model


def images(sizes=VALID):
    return [torch.zeros(3, *size) for size in sizes]


def truth(*rows, crowd=()):
    """Targets of rows (class, x1, y1, x2, y2)."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
    flags = torch.zeros(len(table), dtype=torch.bool)
    flags[list(crowd)] = True
    return Targets(boxes=table[:, 1:], labels=table[:, 0].long(), crowd=flags)


def batch_of(*targets, sizes=VALID):
    return Batch(torch.zeros(()), tuple(sizes[: len(targets)]), (), list(targets), [], ("",) * len(targets))


def as_theirs(targets):
    return [{"boxes": t.boxes, "labels": t.labels} for t in targets]


SCENE = (
    truth((0, 10, 10, 60, 50), (1, 30, 20, 200, 120), (2, 100, 60, 112, 70), (1, 150, 5, 250, 125)),
    truth((2, 0, 0, 199, 99), (0, 33, 40, 47, 71)),
)
