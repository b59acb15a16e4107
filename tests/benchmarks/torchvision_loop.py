"""A plain loop over torchvision's own detectors, on EfficientNet-Lite0 with ImageNet weights: what one writes in an afternoon."""

import time
from collections import OrderedDict

import numpy as np
import timm
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.transforms.v2 import functional as F

from segexp.targets import derive
from segexp.types import Prediction

BATCH, RATE, BACKBONE_RATE = 4, 1e-3, 3e-4  # pictures, learning rates of AdamW


class Pyramid(nn.Module):
    """timm's network and torchvision's feature pyramid, in the form that torchvision's detectors take.

    Args:
        weights: of EfficientNet-Lite0.
        stages: which of its five, finest first.
        extra: torchvision's block of coarser levels, or None.
        width: channels of each level.
    """

    def __init__(self, weights, stages, extra, width):
        super().__init__()
        self.body = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=stages)
        state = {name: value.float() if value.is_floating_point() else value for name, value in load_file(weights).items()}
        missing = self.body.load_state_dict(state, strict=False)
        assert not missing.missing_keys, missing.missing_keys[:3]
        channels = self.body.feature_info.channels()
        self.neck = FeaturePyramidNetwork(channels, width, extra(width, width) if extra else None)
        self.out_channels = width

    def forward(self, images):
        return self.neck(OrderedDict((str(i), level) for i, level in enumerate(self.body(images))))


def samples(split, spec, kinds):
    """(image float [3,H,W], torchvision's target, our truth) of each picture; crowds are no targets. Labels begin with 1."""
    found = []
    for index in range(len(split)):
        sample = split[index]
        truth = derive(sample, kinds, spec)
        kept = ~truth.crowd
        target = {"boxes": truth.boxes[kept], "labels": truth.labels[kept] + 1}
        if truth.masks is not None:
            target["masks"] = truth.masks[kept].to(torch.uint8)
        found.append((sample["image"].as_subclass(torch.Tensor).float() / 255, target, truth))
    return found


def mirrored(image, target, rng):
    """Mirrored left to right and top to bottom, each with probability 1/2."""
    height, width = image.shape[-2:]
    out = dict(target)
    for flip, axis, side in ((F.horizontal_flip, 0, width), (F.vertical_flip, 1, height)):
        if rng.random() < 0.5:
            image, boxes = flip(image), out["boxes"].clone()
            boxes[:, [axis, axis + 2]] = side - boxes[:, [axis + 2, axis]]
            out["boxes"] = boxes
            if "masks" in out:
                out["masks"] = flip(out["masks"])
    return image, out


def train(net, pictures, seconds, seed=0):
    """Steps that were taken within the time; the learning rate falls with the time that is left."""
    rng, steps = np.random.default_rng(seed), 0
    body = list(net.backbone.body.parameters())
    others = [p for name, p in net.named_parameters() if not name.startswith("backbone.body.")]
    optimizer = torch.optim.AdamW([{"params": others, "lr": RATE}, {"params": body, "lr": BACKBONE_RATE}], weight_decay=0.01)
    rates, began = [group["lr"] for group in optimizer.param_groups], time.perf_counter()
    net.train()
    while (share := (time.perf_counter() - began) / seconds) < 1:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1, (steps + 1) / 20) * (1 - share) ** 0.9
        chosen = [mirrored(*pictures[i][:2], rng) for i in rng.choice(len(pictures), BATCH, replace=False)]
        loss = sum(net([image for image, _ in chosen], [target for _, target in chosen]).values())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        steps += 1
    return steps


@torch.no_grad()
def measured(net, pictures, metric):
    """The metric of what the network predicts."""
    net.eval()
    for image, _, truth in pictures:
        found = net([image])[0]
        masks = found["masks"][:, 0] > 0.5 if "masks" in found else None
        predicted = Prediction(boxes=found["boxes"], labels=found["labels"] - 1, scores=found["scores"], masks=masks)
        metric.update([metric.measure(predicted, truth)])
    return {name: float(value) for name, value in metric.compute().items()}


def report(net, data, metric, kinds, names, seconds):
    """Train for so many seconds, and print these figures of `val`."""
    began = time.perf_counter()
    steps = train(net, samples(data.open("train"), data.spec, kinds), seconds)
    figures = measured(net, samples(data.open("val"), data.spec, kinds), metric)
    shown = {name: round(figures[name], 4) for name in names}
    print(f"plain loop: {shown} after {steps} steps, {time.perf_counter() - began:.0f} s")
