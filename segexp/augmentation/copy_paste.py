"""Simple Copy-Paste (Ghiasi et al., 2021): objects of another training picture, pasted with their masks, classes and flags."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision import tv_tensors

from segexp.errors import ConfigError, require_number
from segexp.functional import segments as segment_ops
from segexp.functional.keys import generator, randint, uniform
from segexp.types import DataSpec

Read = Callable[[int], dict[str, Any]]
Resample = Callable[[Mapping[str, Any], torch.Generator], dict[str, Any]]


class Source(NamedTuple):
    """Where the other picture comes from; see `CopyPaste.reading`."""

    read: Read
    length: int
    spec: DataSpec
    resample: Resample


class CopyPaste:
    """A step of `ScaleCrop`: the other picture is scaled, cropped and turned by draws of its own, as the first was.

    Of the picture that is pasted onto, objects lose the pixels that are covered; of those of which hardly any is left, nothing is taught:
    they become crowds. What is pasted follows from the sample's key alone, so workers and restarts don't change it.

    Args:
        probability: that anything is pasted.
        share: probability of each object of the other picture to be chosen; crowds never are.
        least_visible: objects that keep less than this share of their pixels become crowds; those that keep none are dropped.
    """

    def __init__(self, *, probability: float = 0.5, share: float = 0.5, least_visible: float = 0.1) -> None:
        for name, value in (("probability", probability), ("share", share), ("least_visible", least_visible)):
            require_number(f"augmentation.steps.copy_paste.{name}", value, "a share from 0 to 1", least=0, below=1 + 1e-9)
        self.probability, self.share, self.least_visible = probability, share, least_visible
        self.source: Source | None = None

    def reading(self, read: Read, length: int, spec: DataSpec, resample: Resample) -> CopyPaste:
        """A copy that draws from a split.

        Args:
            read: index -> sample.
            length: of the split.
            spec: the classes.
            resample: what the other picture goes through.
        """
        bound = copy.copy(self)
        bound.source = Source(read, length, spec, resample)
        return bound

    def __call__(self, sample: dict[str, Any], rng: torch.Generator) -> dict[str, Any]:
        """The sample with objects of another one; `rng` is its own.

        Raises:
            ConfigError: the samples have no masks, or nobody gave a split to draw from.
        """
        if self.source is None:
            raise ConfigError("copy-paste has no split to draw from", where="augmentation.steps", fix="use it as a step of scale_crop")
        if "masks" not in sample and "segments" not in sample:
            fix = "data with masks or segments, or augmentation.steps.copy_paste=null"
            raise ConfigError("copy-paste needs the objects' masks", where="augmentation.steps.copy_paste", fix=fix)
        if uniform(rng, 0, 1) >= self.probability:
            return sample
        source = self.source
        other = source.resample(source.read(randint(rng, 0, source.length - 1)), generator(rng.initial_seed(), "other"))
        if other["image"].dtype != sample["image"].dtype:  # of 8 and of 16 bit: nothing fits
            return sample
        able = objects(other, source.spec)
        chosen = able[torch.rand(len(able), generator=rng) < self.share]
        sizes = tuple(zip(sample["image"].shape[-2:], other["image"].shape[-2:], strict=True))
        corner = tuple(randint(rng, 0, max(0, mine - theirs)) for mine, theirs in sizes)
        return paste(sample, other, chosen, corner, self.least_visible, source.spec) if len(chosen) else sample


def objects(sample: Mapping[str, Any], spec: DataSpec) -> Tensor:
    """Which objects can be pasted: places among the masks, or among the segments, int64 [n]; things that are no crowd."""
    if "masks" in sample:
        return (~sample["crowd"]).nonzero().flatten()
    labels = sample["segment_labels"]
    return (torch.isin(labels, torch.tensor(spec.thing_ids, dtype=labels.dtype)) & ~sample["segment_crowd"]).nonzero().flatten()


def paste(
    base: Mapping[str, Any], other: Mapping[str, Any], chosen: Tensor, corner: tuple[int, ...], least_visible: float, spec: DataSpec
) -> dict[str, Any]:
    """Paste chosen objects of one sample onto another; what reaches beyond it is cut.

    Args:
        base, other: samples with `masks` each, or with `segments`; their images may differ in size.
        chosen: places of the objects of `other`.
        corner: (top, left) in `base` of the other image's corner.
        least_visible: see `CopyPaste`.
        spec: the classes.

    Returns:
        The sample; pasted objects follow its own.
    """
    window = Canvas(base["image"].shape[-2:], other["image"].shape[-2:], corner)
    masked = "masks" in base
    found = _plain(other["masks"])[chosen] if masked else segment_ops.to_masks(_plain(other["segments"]), chosen + 1)
    masks = window.put(found, torch.zeros(len(chosen), *window.size, dtype=torch.bool))  # [n,H,W]
    seen = masks.flatten(1).any(1)
    masks, chosen = masks[seen], chosen[seen]
    if not len(chosen):  # all of them lie beyond the canvas
        return dict(base)
    cover = masks.any(0)
    out = dict(base)
    out["image"] = tv_tensors.Image(torch.where(cover, window.put(_plain(other["image"]), _plain(base["image"])), _plain(base["image"])))
    if "semantic" in base and "semantic" in other:
        plain = _plain(base["semantic"])
        out["semantic"] = tv_tensors.Mask(torch.where(cover, window.put(_plain(other["semantic"]), plain), plain))
    out.pop("boxes", None)  # they follow from the masks
    return out | (_masks if masked else _segments)(base, other, chosen, masks, cover, least_visible, spec)


class Canvas:
    """Where one image lies on another.

    Args:
        size: (height, width) of the canvas.
        other: of what is put there.
        corner: (top, left) of it.
    """

    def __init__(self, size: Any, other: Any, corner: tuple[int, ...]) -> None:
        self.size = tuple(size)
        seen = [min(side, mine - at) for side, mine, at in zip(other, size, corner, strict=True)]
        self.here = tuple(slice(at, at + length) for at, length in zip(corner, seen, strict=True))
        self.there = tuple(slice(0, length) for length in seen)

    def put(self, values: Tensor, onto: Tensor) -> Tensor:
        """A copy of `onto` [...,H,W] in which `values` [...,h,w] lie in their place."""
        out = onto.clone()
        out[..., *self.here] = values[..., *self.there]
        return out


def _masks(base: Any, other: Any, chosen: Tensor, masks: Tensor, cover: Tensor, least: float, spec: DataSpec) -> dict[str, Any]:
    before = _plain(base["masks"])
    after = before & ~cover
    crowd = base["crowd"] | _hidden(before.flatten(1).sum(1), after.flatten(1).sum(1), least)
    kept = after.flatten(1).any(1)
    return {
        "masks": tv_tensors.Mask(torch.cat([after[kept], masks])),
        "labels": torch.cat([base["labels"][kept], other["labels"][chosen]]),
        "crowd": torch.cat([crowd[kept], other["crowd"][chosen]]),
    }


def _segments(base: Any, other: Any, chosen: Tensor, masks: Tensor, cover: Tensor, least: float, spec: DataSpec) -> dict[str, Any]:
    before, labels = _plain(base["segments"]), base["segment_labels"]
    numbers = torch.arange(1, len(masks) + 1, dtype=before.dtype)
    pasted = (masks * numbers[:, None, None]).amax(0)  # [H,W] objects of one image don't overlap
    after = torch.where(cover, pasted + len(labels), before)
    areas = segment_ops.areas(before, len(labels)), segment_ops.areas(after, len(labels))
    things = torch.isin(labels, torch.tensor(spec.thing_ids, dtype=labels.dtype))
    crowd = base["segment_crowd"] | (_hidden(*areas, least) & things)
    both = torch.cat([labels, other["segment_labels"][chosen]]), torch.cat([crowd, other["segment_crowd"][chosen]])
    segments, labels, crowd = segment_ops.compact(after.to(before.dtype), *both)
    return {"segments": tv_tensors.Mask(segments), "segment_labels": labels, "segment_crowd": crowd}


def _hidden(before: Tensor, after: Tensor, least: float) -> Tensor:
    """Which objects were covered so far that too little is left: bool [N]."""
    return (after < before) & (after < least * before)


def _plain(value: Tensor) -> Tensor:
    return value.as_subclass(Tensor)
