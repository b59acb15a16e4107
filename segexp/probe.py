"""What a tiny made-up batch tells of a chain: that levels are what they claim, and which parameters the loss reaches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision import tv_tensors

from segexp.datamodule import Item, collate, to_float
from segexp.errors import WiringError
from segexp.functional.keys import generator
from segexp.model import Model
from segexp.targets import FIELDS, derive
from segexp.types import Batch, DataSpec, Size

SIDE = 64  # pixels; every level up to stride 64 has a cell
USUAL = 512  # pixels of the image that a chain is judged by, unless the augmentation crops


def usual_size(crop: Sequence[int] | None) -> tuple[int, int]:
    """(height, width) of the image that MACs and times are told for."""
    height, width = crop or (USUAL, USUAL)
    return height, width


def macs(model: Model, spec: DataSpec, size: Size) -> int:
    """Multiply-accumulates of one image from pixels to what the head emits (half of torch's count of operations)."""
    was = model.training
    images = torch.zeros(1, spec.in_channels, *size, device=next(model.parameters()).device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(images)
    model.train(was)
    return counter.get_total_flops() // 2


def example(spec: DataSpec, needs: Iterable[str], loss: Any, *, size: Size = (SIDE, SIDE), images: int = 2) -> Batch:
    """Images of noise, in turn one with a background and an object of each of a few classes, and one without objects.

    Kinds of annotation that are a user's own come from the loss: `examples(size)`, a dict of what one image carries.

    Raises:
        WiringError: the loss doesn't give them.
    """
    own = loss.examples(size) if hasattr(loss, "examples") else {}
    if lacking := set(needs) - FIELDS.keys() - own.keys():
        what = f"{type(loss).__name__} has no example of {', '.join(sorted(lacking))}, a kind of annotation of its own"
        raise WiringError(
            what, where="loss", fix="give it a method examples(size) -> {kind: tensor}, what an image of (height, width) carries"
        )
    things, stuff = spec.thing_ids or (0,), spec.stuff_ids or (spec.num_classes - 1,)
    items = []
    for number in range(images):
        objects = () if number % 2 else things[:3]
        labels = torch.tensor([stuff[0], *objects])
        segments = torch.ones(*size, dtype=torch.int32)
        for i in range(len(objects)):
            segments[8 + 16 * i : 28 + 16 * i, 8 + 12 * i : 36 + 12 * i] = i + 2
        noise = torch.randint(0, 256, (spec.in_channels, *size), generator=generator("example", number), dtype=torch.uint8)
        sample = own | {
            "image": tv_tensors.Image(noise),
            "segments": segments,
            "segment_labels": labels,
            "segment_crowd": torch.zeros(len(labels), dtype=torch.bool),
        }
        items.append(Item(noise, derive(sample, needs, spec, key=number), None, size, f"example/{number}"))
    batch = collate(items)
    batch.images = to_float(batch.images)
    batch.counts = loss.count(batch.targets)
    return batch


def check_levels(model: Model, spec: DataSpec) -> None:
    """Run backbone and decoder on the meta device and compare each level with what `spec` promises.

    Raises:
        WiringError: a level has other channels or another size.
    """
    was = model.training
    images = torch.zeros(1, spec.in_channels, SIDE, SIDE + model.backbone.pad_to, device="meta")
    height, width = images.shape[-2:]
    padded = model.padded((height, width))
    model.eval()
    aligned = "head.align_corners=false, or a backbone that rounds sizes up, such as resnet18|mobilenet_v2"
    try:
        inner = model.backbone(torch.zeros(1, spec.in_channels, *padded, device="meta"))
    except RuntimeError as error:  # of levels that are added to each other, and aren't of one size
        if padded == (height, width):
            raise
        name = getattr(model.backbone, "name", type(model.backbone).__name__)
        what = f"{name} can't take an image of {padded[0]}x{padded[1]}: its sides are multiples of {model.backbone.pad_to}"
        raise WiringError(what, where="head.align_corners=true", fix=aligned) from error
    for stage, features in ((model.backbone, inner), (model.decoder, model.features(images))):
        for name, level in stage.spec.items():
            wanted = (1, level.channels, -(-padded[0] // level.stride), -(-padded[1] // level.stride))
            if tuple(features[name].shape) != wanted:
                raise WiringError(
                    f"level {name} has shape {tuple(features[name].shape)}, by its channels and stride it is {wanted}",
                    where=f"{type(stage).__name__}, an image of {padded[0]}x{padded[1]}",
                    fix="a backbone of this project emits [B,C,h,w] maps: choose a convolutional one"
                    if (height, width) == padded
                    else aligned,
                )
    model.train(was)


def unreached(model: Model, loss: Any, spec: DataSpec) -> list[str]:
    """Names of trainable parameters that get no gradient from the loss (DDP dies of them)."""
    was = model.training
    model.eval()  # no running statistic may move
    batch = example(spec, model.head.needs | loss.needs, loss)
    device = next(model.parameters()).device
    batch = batch.to(device)
    sums = loss(model(batch.images, batch.sizes, batch.targets), batch)
    torch.stack(list(sums.values())).sum().backward()
    names = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    model.zero_grad(set_to_none=True)
    model.train(was)
    return names
