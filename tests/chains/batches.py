"""Pictures for the tiny chains: of several sizes, without objects, with nothing but a crowd, without any label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from segexp.build import Chain
from segexp.data.shapes import Shapes
from segexp.datamodule import Item, Windows, to_float
from segexp.functional.segments import compact
from segexp.functional.windows import Window, resample
from segexp.targets import derive
from segexp.types import Batch, DataSpec, Size

DATA = Shapes(height=64, width=96, train=8, val=5, test=2)
SPEC = DATA.spec
SIZES = ((65, 97), (50, 70), (33, 40))
Sample = dict[str, Any]


def resized(sample: Sample, size: Size) -> Sample:
    """The whole picture at another size."""
    return resample(sample, Window(0, 0, *sample["image"].shape[-2:], size))


def nothing(sample: Sample) -> Sample:
    """The same picture with its things turned into void."""
    return _without(sample, torch.isin(sample["segment_labels"], torch.tensor(SPEC.thing_ids)))


def crowds(sample: Sample) -> Sample:
    """The same picture with every thing a crowd."""
    return sample | {"segment_crowd": torch.isin(sample["segment_labels"], torch.tensor(SPEC.thing_ids))}


def void(sample: Sample) -> Sample:
    """The same picture without any label."""
    return _without(sample, torch.ones_like(sample["segment_crowd"]))


def _without(sample: Sample, gone: Tensor) -> Sample:
    keep = torch.cat([gone.new_ones(1), ~gone])
    segments = sample["segments"].as_subclass(Tensor)
    names = ("segments", "segment_labels", "segment_crowd")
    left = compact(segments * keep[segments.long()], sample["segment_labels"], sample["segment_crowd"])
    return sample | dict(zip(names, left, strict=True))


def batch(chain: Chain, *, change: Callable[[Sample], Sample] | None = None, sizes: Sequence[Size] = SIZES, spec: DataSpec = SPEC) -> Batch:
    """One window of one micro-batch: the first pictures, changed, at these sizes; the truth at the pictures' own size."""
    split, needs, items = DATA.open("train"), chain.model.head.needs | chain.loss.needs, []
    for i, size in enumerate(sizes):
        sample = change(split[i]) if change else split[i]
        seen = resized(sample, size)
        truth = derive(sample, chain.metrics.needs, spec, key=i)
        items.append(Item(seen["image"].as_subclass(Tensor), derive(seen, needs, spec, key=i), truth, DATA.size, split.id(i)))
    made = Windows(len(items), chain.loss.count)(items)[0]
    made.images = to_float(made.images)
    return made
