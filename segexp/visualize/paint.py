"""Pictures of annotations: paint one on its image, show where a prediction is wrong.

Pure functions, on the CPU. An image is uint8 [3,H,W]; truth and prediction have its size (and may lie on a GPU).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from segexp.errors import DataError
from segexp.functional import segments as segment_ops
from segexp.functional.quality import MIN_SCORE
from segexp.types import DataSpec, Prediction, Targets, map_tensors
from segexp.visualize import draw
from segexp.visualize.colors import (
    Annotation,
    box_names,
    class_colors,
    image_label,
    instance_colors,
    pixel_colors,
    segment_names,
)
from segexp.visualize.pixels import blend, borders, color_of, darken, dimmed

WRONG = (255, 59, 48)
IGNORED = (38, 50, 64)


def paint(
    image: Tensor,
    annotation: Annotation,
    data: DataSpec,
    *,
    alpha: float = 0.6,
    order: Sequence[str] = ("segments", "semantic", "masks"),
    min_score: float = MIN_SCORE,
    numbers: Tensor | None = None,
) -> Tensor:
    """Paint an annotation on its image: the first dense kind of `order` that it carries, then boxes and an image label.

    Unlabelled pixels of a semantic or segment map are the image, dimmed; those outside all masks are the image itself.
    Things keep the colour of their class for the first instance and vary in brightness for the next ones. On segments their
    class is written, and a score where there is one, if it fits.

    Args:
        image: uint8 [3,H,W].
        annotation: what to paint, at the size of the image.
        data: class names and colours.
        alpha: share of the class colour in a painted pixel.
        order: which dense kind goes first where there are several.
        min_score: detections with a lower score are left out.
        numbers: of segments, int64 [S]: the number of each thing in its class, in a clip; see `instance_colors`.

    Returns:
        uint8 [3,H,W].

    Raises:
        DataError: a map and the image differ in size.
    """
    annotation = confident(map_tensors(annotation, Tensor.cpu), min_score)
    painters = {"semantic": _paint_semantic, "segments": partial(_paint_segments, numbers=numbers), "masks": _paint_masks}
    picture = image
    kind = next((k for k in order if getattr(annotation, k) is not None), None)
    if kind is not None:
        _same_size(image, getattr(annotation, kind), kind)
        picture = painters[kind](image, annotation, data, alpha)
    if annotation.boxes is not None:
        colors = class_colors(annotation.labels, len(annotation.boxes), data).tolist()
        picture = draw.outlines(picture, annotation.boxes, [tuple(c) for c in colors], box_names(annotation, data))
    text, chosen = image_label(annotation, data)
    return draw.corner_tag(picture, text, data.classes[chosen].color) if text else picture.clone()


def error_map(truth: Targets, prediction: Prediction, data: DataSpec, image: Tensor) -> Tensor:
    """Show where a prediction is wrong, on the dimmed grey image.

    Wrong pixels are red and ignored ones blue-grey. One colour, not that of the predicted class: it answers
    "where" at a glance, can't be taken for a class, and stays visible where classes are grey; "what" stands beside it in the panel.

    Args:
        truth, prediction: with semantic or segment maps, at the size of the image.
        data: the classes.
        image: uint8 [3,H,W].

    Returns:
        uint8 [3,H,W].

    Raises:
        DataError: nothing in common to compare, or sizes differ.
    """
    truth, prediction = map_tensors(truth, Tensor.cpu), map_tensors(prediction, Tensor.cpu)
    grey = dimmed(image)
    maps = _class_maps(truth, prediction, data)
    if maps is not None:
        real, guess = maps
        _same_size(image, real, "truth")
        _same_size(image, guess, "prediction")
        ignored = real == data.ignore_index
        wrong = (real != guess) & ~ignored
        red = blend(grey, color_of(WRONG), 0.8)  # some of the image shows through, or a bad map is one red plane
        return torch.where(wrong, red, torch.where(ignored, color_of(IGNORED), grey))
    raise DataError(
        "truth and prediction carry no classes of pixels that can be compared in a picture", fix="give both semantic or segments"
    )


# ---------------------------------------------------------------------------------------------- painters


def _paint_semantic(image: Tensor, annotation: Annotation, data: DataSpec, alpha: float) -> Tensor:
    return blend(image, pixel_colors(annotation.semantic, data), alpha)


def _paint_segments(image: Tensor, annotation: Annotation, data: DataSpec, alpha: float, numbers: Tensor | None = None) -> Tensor:
    colors = instance_colors(annotation.segment_labels, data, numbers)  # [S,3]
    table = torch.cat([torch.zeros(1, 3), colors])
    painted = blend(image, table[annotation.segments.long()].permute(2, 0, 1), alpha)
    bordered = darken(painted, borders(annotation.segments[None])[0])
    return draw.write_on(bordered, annotation.segments, segment_names(annotation, data, numbers))


def _paint_masks(image: Tensor, annotation: Annotation, data: DataSpec, alpha: float) -> Tensor:
    masks = annotation.masks
    if len(masks) == 0:
        return image
    labels = torch.full((len(masks),), -1) if annotation.labels is None else annotation.labels
    biggest_first = masks.flatten(1).sum(1).argsort(descending=True, stable=True)  # small ones lie on top
    colors = instance_colors(labels, data)
    shown = torch.zeros(masks.shape[1:], dtype=torch.long)
    for rank, index in enumerate(biggest_first.tolist(), start=1):
        shown[masks[index]] = rank
    table = torch.cat([torch.zeros(1, 3), colors[biggest_first]])
    painted = torch.where(shown > 0, blend(image, table[shown].permute(2, 0, 1), alpha), image)
    return darken(painted, borders(shown[None])[0])


# ---------------------------------------------------------------------------------------------- comparison


def confident(annotation: Annotation, min_score: float = MIN_SCORE) -> Annotation:
    """Without detections of a low score, the best last (it is painted on top)."""
    if not isinstance(annotation, Prediction) or annotation.scores is None:
        return annotation
    kept = annotation.scores.argsort(stable=True)
    kept = kept[annotation.scores[kept] >= min_score]
    parts = {name: getattr(annotation, name) for name in ("boxes", "masks", "labels", "scores")}
    return replace(annotation, **{name: None if part is None else part[kept] for name, part in parts.items()})


def _class_maps(truth: Targets, prediction: Prediction, data: DataSpec) -> tuple[Tensor, Tensor] | None:
    """The class of every pixel twice, int64 [H,W], of semantic or segment maps."""
    real, guess = _class_map(truth, data), _class_map(prediction, data)
    return None if real is None or guess is None else (real, guess)


def _class_map(annotation: Annotation, data: DataSpec) -> Tensor | None:
    if annotation.semantic is not None:
        return annotation.semantic.long()
    if annotation.segments is not None:
        return segment_ops.to_semantic(annotation.segments, annotation.segment_labels, data.ignore_index).long()
    return None


def _same_size(image: Tensor, other: Tensor, name: str) -> None:
    if image.shape[-2:] != other.shape[-2:]:
        sizes = [f"{h}x{w}" for h, w in (image.shape[-2:], other.shape[-2:])]
        raise DataError(f"the image has {sizes[0]} pixels, {name} has {sizes[1]}", fix="paint at one size: both original, or both input")
