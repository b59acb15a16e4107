"""What a tiny made-up batch tells of a chain: that levels are what they claim, and which parameters the loss reaches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torchvision import tv_tensors

from segexp.datamodule import Item, collate, to_float
from segexp.errors import WiringError
from segexp.functional.keys import generator
from segexp.model import Model
from segexp.targets import derive
from segexp.types import Batch, DataSpec

SIDE = 64  # pixels; every level up to stride 64 has a cell


def example(spec: DataSpec, needs: Iterable[str], count: Any) -> Batch:
    """Two images of noise: one with a background and an object of each of a few classes, one without objects."""
    things, stuff = spec.thing_ids or (0,), spec.stuff_ids or (spec.num_classes - 1,)
    items = []
    for number, objects in enumerate((things[:3], ())):
        labels = torch.tensor([stuff[0], *objects])
        segments = torch.ones(SIDE, SIDE, dtype=torch.int32)
        for i in range(len(objects)):
            segments[8 + 16 * i : 28 + 16 * i, 8 + 12 * i : 36 + 12 * i] = i + 2
        noise = torch.randint(0, 256, (spec.in_channels, SIDE, SIDE), generator=generator("example", number), dtype=torch.uint8)
        sample = {
            "image": tv_tensors.Image(noise),
            "segments": segments,
            "segment_labels": labels,
            "segment_crowd": torch.zeros(len(labels), dtype=torch.bool),
        }
        items.append(Item(noise, derive(sample, needs, spec, key=number), None, (SIDE, SIDE), f"example/{number}"))
    batch = collate(items)
    batch.images = to_float(batch.images)
    batch.counts = count(batch.targets)
    return batch


def check_levels(model: Model, spec: DataSpec) -> None:
    """Run backbone and decoder on the meta device and compare each level with what `spec` promises.

    Raises:
        WiringError: a level has other channels or another size.
    """
    was = model.training
    images = torch.zeros(1, spec.in_channels, SIDE, SIDE + model.backbone.pad_to, device="meta")
    height, width = images.shape[-2:]
    padded = (height + -height % model.backbone.pad_to, width + -width % model.backbone.pad_to)
    model.eval()
    inner = model.backbone(torch.zeros(1, spec.in_channels, *padded, device="meta"))
    for stage, features in ((model.backbone, inner), (model.decoder, model.features(images))):
        for name, level in stage.spec.items():
            wanted = (1, level.channels, -(-padded[0] // level.stride), -(-padded[1] // level.stride))
            if tuple(features[name].shape) != wanted:
                raise WiringError(
                    f"level {name} has shape {tuple(features[name].shape)}, by its channels and stride it is {wanted}",
                    where=f"{type(stage).__name__}, an image of {padded[0]}x{padded[1]}",
                    fix="a backbone of this project emits [B,C,h,w] maps: choose a convolutional one",
                )
    model.train(was)


def unreached(model: Model, loss: Any, spec: DataSpec) -> list[str]:
    """Names of trainable parameters that get no gradient from the loss (DDP dies of them)."""
    was = model.training
    model.eval()  # no running statistic may move
    batch = example(spec, model.head.needs | loss.needs, loss.count)
    device = next(model.parameters()).device
    batch = batch.to(device)
    sums = loss(model(batch.images, batch.sizes, batch.targets), batch)
    torch.stack(list(sums.values())).sum().backward()
    names = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    model.zero_grad(set_to_none=True)
    model.train(was)
    return names
