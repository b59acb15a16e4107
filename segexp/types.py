"""The contracts between stages: what a data set yields, what a head emits, what a metric reads.

Conventions (the project's, once for all): images RGB [C,H,W]; boxes xyxy, float32, absolute pixels, half-open;
offsets (dy, dx) in input pixels; class ids 0..K-1; 255 = ignore in semantic maps; segment id 0 = void, 1..N
contiguous in each image; scores in [0, 1]; sizes (height, width).
Shape letters: B batch, K classes, C channels, H W image, h w = image / stride, N instances, Q queries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

Size = tuple[int, ...]  # (height, width)
Sizes = tuple[Size, ...]
Features = dict[str, Tensor]  # level name -> [B,C,h,w]


class Level(NamedTuple):
    """What one level of a feature pyramid is: channels, and the true stride to the input."""

    channels: int
    stride: int


FeatureSpec = dict[str, Level]
Field = Any  # a tensor or None: which are there follows from what stages declare, and `wiring.check` has tested that


@dataclass(frozen=True)
class ClassInfo:
    """One class of a data set; `color` is RGB, 0..255."""

    name: str
    is_thing: bool = False
    color: tuple[int, int, int] = (128, 128, 128)


@dataclass(frozen=True)
class DataSpec:
    """What is known of a data set without opening it.

    Args:
        classes: the classes, in the order of their ids.
        provides: kinds of annotation that every sample carries: any of `segments masks boxes semantic label present`.
        ignore_index: the value of pixels without a label in semantic maps.
        in_channels: channels of an image.
        values: of each class, its value in the data set's own label files, where predictions are exchanged in them
            (Cityscapes' label ids); None where that is the class id.
    """

    classes: tuple[ClassInfo, ...]
    provides: frozenset[str]
    ignore_index: int = 255
    in_channels: int = 3
    values: tuple[int, ...] | None = None

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.classes)

    @property
    def thing_ids(self) -> tuple[int, ...]:
        return tuple(i for i, c in enumerate(self.classes) if c.is_thing)

    @property
    def stuff_ids(self) -> tuple[int, ...]:
        return tuple(i for i, c in enumerate(self.classes) if not c.is_thing)

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, for the manifest of a run."""
        return asdict(self) | {"provides": sorted(self.provides)}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> DataSpec:
        classes = tuple(ClassInfo(c["name"], c["is_thing"], tuple(c["color"])) for c in plain["classes"])
        values = tuple(plain["values"]) if plain.get("values") else None  # absent in the manifests of earlier versions
        return cls(classes, frozenset(plain["provides"]), plain["ignore_index"], plain["in_channels"], values)


@dataclass
class Targets:
    """The truth of one image. Every field is optional; `segexp.targets.derive` fills the poorer from the richer."""

    label: Field = None  # int64 [] class id, or float32 [K] where labels are mixed
    present: Field = None  # float32 [K] 1 for each class that the image shows, or between where labels are mixed
    semantic: Field = None  # int64 [H,W], ignore_index where unlabelled (uint8 in `Batch.truth`)
    boxes: Field = None  # float32 [N,4]
    labels: Field = None  # int64 [N] classes of boxes and masks
    crowd: Field = None  # bool [N]
    masks: Field = None  # bool [N,H,W]
    segments: Field = None  # int32 [H,W], 0 = void
    segment_labels: Field = None  # int64 [S] class of segment 1..S
    segment_crowd: Field = None  # bool [S]
    extra: dict[str, Tensor] = field(default_factory=dict)  # kinds that only a user's stages know, such as depth
    key: int = 0  # f(seed, epoch, index): seeds any sampling on this image


@dataclass(frozen=True)
class Prediction:
    """What was predicted for one image, at its original size. Field names are those of `Targets`."""

    label_scores: Field = None  # float32 [K], of `label` (they sum to 1) or of `present`
    semantic: Field = None  # uint8 or int64 [H,W]
    boxes: Field = None  # float32 [N,4]
    masks: Field = None  # bool [N,H,W]
    labels: Field = None  # int64 [N]
    scores: Field = None  # float32 [N]
    segments: Field = None  # int32 [H,W], 0 = void
    segment_labels: Field = None  # int64 [S]
    segment_scores: Field = None  # float32 [S]
    extra: dict[str, Tensor] = field(default_factory=dict)  # kinds that only a user's stages know
    maps: Field = None  # what it was made of, for pictures: name -> float32 [C,h,w] that covers the image, at any resolution


@dataclass
class Batch:
    """One micro-batch. Mutable, because Lightning refuses a frozen one.

    `images` are integers as the data set stores them until the batch has reached the device, and float32 in [0, 1] from
    then on. They are padded with zeros at the right and bottom to one size; `sizes` says how much of each is valid.
    """

    images: Tensor  # [B,C,H,W]
    sizes: Sizes  # valid (height, width) of each image
    original_sizes: Sizes
    targets: list[Targets]  # at input size
    truth: list[Targets]  # at original size; empty in training
    ids: tuple[str, ...]
    counts: dict[str, float] = field(default_factory=dict)  # what the loss divides by: of the optimizer step's window

    def to(self, device: torch.device | str, non_blocking: bool | None = None) -> Batch:
        """Move the tensors; asynchronously where the memory is pinned and the device is a GPU."""
        asynchronous = torch.device(device).type == "cuda" if non_blocking is None else non_blocking
        return map_tensors(self, lambda x: x.to(device, non_blocking=asynchronous))

    def pin_memory(self) -> Batch:
        return map_tensors(self, torch.Tensor.pin_memory)

    def of_one_size(self) -> list[tuple[list[int], Batch]]:
        """The images of each valid size as a batch without padding, with their numbers: what one predicts doesn't depend on the others."""
        return [(members, self._part(members, size)) for size, members in alike(self.sizes).items()]

    def _part(self, members: list[int], size: Size) -> Batch:
        if len(members) == len(self.ids) and size == tuple(self.images.shape[-2:]):
            return self
        return Batch(
            images=self.images[members, :, : size[0], : size[1]],
            sizes=(size,) * len(members),
            original_sizes=tuple(self.original_sizes[i] for i in members),
            targets=[self.targets[i] for i in members],
            truth=[self.truth[i] for i in members if self.truth],
            ids=tuple(self.ids[i] for i in members),
            counts=self.counts,
        )


def alike(sizes: Sizes) -> dict[Size, list[int]]:
    """Which images have which size."""
    found: dict[Size, list[int]] = {}
    for number, size in enumerate(sizes):
        found.setdefault(tuple(size), []).append(number)
    return found


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply `change` to every tensor in a dataclass, list, tuple or dict of them; all else stays."""
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{f.name: map_tensors(getattr(value, f.name), change) for f in fields(value)})
    if isinstance(value, dict):
        return {k: map_tensors(v, change) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and any(not isinstance(v, (int, str)) for v in value):
        items = [map_tensors(v, change) for v in value]
        return items if isinstance(value, list) else tuple(items)
    return value


# ---------------------------------------------------------------------------------------------- what heads emit


@dataclass
class ClassLogits:
    """One vector per image."""

    logits: Tensor  # [B,K]


@dataclass
class SemanticLogits:
    """Class logits per pixel, at `stride`: pixel x of the input lies at cell (x + 0.5) / stride - 0.5, or at x / stride."""

    logits: Tensor  # [B,K,h,w]
    stride: int
    align_corners: bool = field(default=False, kw_only=True)  # the latter


@dataclass
class AuxiliaryLogits(SemanticLogits):
    """With the logits of auxiliary heads, where targets were given (deep supervision)."""

    aux: dict[str, SemanticLogits] = field(default_factory=dict)


@dataclass
class DenseBoxes:
    """Detections at every location. Losses accept one of the subclasses, post-processing this base."""

    class_logits: Tensor  # [B,A,K]
    deltas: Tensor  # [B,A,4] as regressed
    boxes: Tensor  # [B,A,4] decoded, differentiable
    anchors: Tensor  # [A,4]
    levels: tuple[int, ...]  # locations of each level; they sum to A
    quality: Tensor | None = None  # [B,A,1] logits (centre-ness)


class AnchorBoxes(DenseBoxes):
    """Regressed from anchor boxes (RetinaNet)."""


class PointBoxes(DenseBoxes):
    """Regressed from points (FCOS)."""


@dataclass
class Proposals:
    """The first stage of a two-stage detector."""

    anchors: Tensor  # [A,4]
    objectness: Tensor  # [B,A] logits
    deltas: Tensor  # [B,A,4]


@dataclass
class Sampled:
    """Second-stage outputs on sampled proposals, lists per image (targets were given)."""

    proposals: list[Tensor]  # [P,4]
    matched: list[Tensor]  # int64 [P] index of the matched object
    labels: list[Tensor]  # int64 [P] class, K = background
    class_logits: list[Tensor]  # [P,K+1]
    deltas: list[Tensor]  # [P,4(K+1)]
    mask_logits: list[Tensor] | None = None  # [positives,K,m,m]


@dataclass
class Detected:
    """Second-stage detections after non-maximum suppression, lists per image, in input pixels."""

    boxes: list[Tensor]  # [N,4]
    scores: list[Tensor]  # [N]
    labels: list[Tensor]  # [N]
    mask_logits: list[Tensor] | None = None  # [N,m,m]


@dataclass
class RoiOutput:
    """A two-stage detector's output: `sampled` where targets were given, else `detected`."""

    first: Proposals
    sampled: Sampled | None
    detected: Detected | None


class MaskRoiOutput(RoiOutput):
    """With a mask branch."""


@dataclass
class CenterOffset:
    """Panoptic-DeepLab: classes, a centre heatmap, and a vector to the centre, one stride; pixels lie as in `SemanticLogits`."""

    semantic: Tensor  # [B,K,h,w] logits
    center: Tensor  # [B,1,h,w] heatmap, 1 at centres
    offset: Tensor  # [B,2,h,w] (dy, dx) in input pixels
    stride: int
    align_corners: bool = field(default=False, kw_only=True)


@dataclass
class MaskQueries:
    """A class and a mask per query (mask transformers); `aux` holds the earlier layers."""

    class_logits: Tensor  # [B,Q,K+1], last = no object
    mask_logits: Tensor  # [B,Q,h,w]
    stride: int
    aux: tuple[MaskQueries, ...] = ()
