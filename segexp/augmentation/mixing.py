"""Mixup and CutMix: pictures of a batch mixed with one another, and their classes in the same shares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from torch import Tensor

from segexp.errors import ConfigError, DataError, require_number
from segexp.functional.keys import key
from segexp.functional.labels import label_shares
from segexp.types import Batch, DataSpec, Size, Targets

MIXED = frozenset({"label", "present"})  # kinds that can be mixed

Box = tuple[int, int, int, int]  # top, left, bottom, right


class Mixing:
    """Mix each picture of a training batch with the one before it, in one way and one share for the batch.

    Mixup (Zhang et al., 2018) blends two pictures, CutMix (Yun et al., 2019) puts a rectangle of one onto the other; of the labels
    each has the share that it has of the pixels. A picture without a class brings a share of none.

    What is drawn follows from the key of the batch's first picture alone: not from workers or restarts, but from how many ranks and
    micro-batches a step is cut into.

    Args:
        mixup: of the Beta(mixup, mixup) that the share is drawn from; 0 is off.
        cutmix: the same of the rectangle's share; 0 is off.
        probability: that a batch is mixed.
        switch: where both are on, the probability that it is CutMix.

    Raises:
        ConfigError: both are off, or a number is out of its range.
    """

    def __init__(self, *, mixup: float = 0.0, cutmix: float = 0.0, probability: float = 1.0, switch: float = 0.5) -> None:
        require_number("mixing.mixup", mixup, "mixing.mixup=0.2", least=0)
        require_number("mixing.cutmix", cutmix, "mixing.cutmix=1.0", least=0)
        for name, value in (("probability", probability), ("switch", switch)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ConfigError("a probability lies between 0 and 1", where=f"mixing.{name}={value}", fix=f"mixing.{name}=0.5")
        if not mixup and not cutmix:
            raise ConfigError("mixup and CutMix are both off", where="mixing", fix="mixing=none, or mixing.mixup=0.2")
        self.mixup, self.cutmix, self.probability, self.switch = mixup, cutmix, probability, switch

    def __call__(self, batch: Batch, data: DataSpec) -> Batch:
        """The batch, images float32 in [0, 1], with its pictures and targets mixed; one of a single picture stays as it is.

        Raises:
            DataError: the pictures are of several sizes.
        """
        if len(set(batch.sizes)) > 1:
            sizes = ", ".join(f"{h}x{w}" for h, w in sorted(set(batch.sizes))[:4])
            raise DataError(f"pictures of {sizes} can't be mixed", where="mixing", fix="augmentation.crop=[224,224], or mixing=none")
        rng = np.random.default_rng(key(batch.targets[0].key, "mixing"))
        mixed, cut = rng.random() < self.probability, rng.random() < self.switch
        if not mixed or len(batch.targets) < 2:
            return batch
        cut = bool(self.cutmix) and (cut or not self.mixup)
        alpha = self.cutmix if cut else self.mixup
        share = float(rng.beta(alpha, alpha))
        before = batch.images.roll(1, 0)
        if cut:
            box = rectangle(rng, tuple(batch.images.shape[-2:]), share)
            images, share = pasted(batch.images, before, box)
        else:
            images = batch.images.lerp(before, 1 - share)
        others = batch.targets[-1:] + batch.targets[:-1]
        targets = [mixed_targets(own, other, share, data) for own, other in zip(batch.targets, others, strict=True)]
        return replace(batch, images=images, targets=targets)


def check_mixing(needs: Iterable[str]) -> None:
    """Refuse to mix for a chain that learns from anything but labels of whole images.

    Args:
        needs: kinds of annotation that head and loss read.

    Raises:
        ConfigError: names those that can't be mixed.
    """
    if others := sorted(set(needs) - MIXED):
        what = f"mixing can't mix {', '.join(others)}, which head and loss need"
        raise ConfigError(what, where="mixing", fix="mixing=none, or task=classification|multi_label")


def rectangle(rng: np.random.Generator, size: Size, share: float) -> Box:
    """A rectangle of the picture's form around a random pixel, with (1 - share) of the area before it is cut at the borders."""
    middle = [int(rng.integers(n)) for n in size]
    half = [int(n * (1 - share) ** 0.5 / 2) for n in size]
    (top, left), (bottom, right) = ([min(max(m + sign * h, 0), n) for m, h, n in zip(middle, half, size, strict=True)] for sign in (-1, 1))
    return top, left, bottom, right


def pasted(images: Tensor, others: Tensor, box: Box) -> tuple[Tensor, float]:
    """Images [B,C,H,W] with the rectangle of others, and the share of the pixels that stay."""
    top, left, bottom, right = box
    out = images.clone()
    out[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    height, width = images.shape[-2:]
    return out, 1 - (bottom - top) * (right - left) / (height * width)


def mixed_targets(own: Targets, other: Targets, share: float, data: DataSpec) -> Targets:
    """Targets with `share` of the own labels and the rest of the other's: `label` as float32 [K], `present` as it is."""
    found = replace(own)
    if own.label is not None:
        mine, theirs = (label_shares(t.label, data.num_classes, data.ignore_index) for t in (own, other))  # [K]
        found.label = mine.lerp(theirs, 1 - share)
    if own.present is not None:
        found.present = own.present.lerp(other.present, 1 - share)
    return found
