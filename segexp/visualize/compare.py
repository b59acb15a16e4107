"""All pictures of one evaluated image: what it is, what was predicted, where that is wrong, and what the network said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from segexp.functional.segments import centers, of_pixels
from segexp.types import DataSpec, Prediction, Targets
from segexp.visualize.draw import STRIP, Color, listing
from segexp.visualize.label_errors import LabelErrors, label_errors, of_labels, true_lines
from segexp.visualize.maps import field_picture, heat_picture
from segexp.visualize.object_errors import draw_object_errors, kind_of_objects, object_errors
from segexp.visualize.paint import error_map, paint
from segexp.visualize.panel import enlarge, factor_of
from segexp.visualize.pixels import dimmed
from segexp.visualize.segment_errors import draw_errors, segment_errors

Legend = list[tuple[str, Color]]
Kind = TypeVar("Kind", Targets, Prediction)


def comparison(image: Tensor, truth: Targets, prediction: Prediction, data: DataSpec) -> tuple[dict[str, Tensor], Legend]:
    """The columns of a panel and what is written below them.

    Args:
        image: uint8 [3,H,W].
        truth, prediction: at the image's size, on the CPU.
        data: the classes.
    """
    if truth.segments is None or prediction.segments is None:
        if (kind := kind_of_objects(truth, prediction)) is not None:
            return _objects(image, truth, prediction, data, kind)
        if truth.extra.keys() & prediction.extra.keys():
            return _extra(image, truth, prediction)
        if of_labels(truth, prediction):
            return _labels(image, label_errors(truth, prediction, data), data)
        found = {"image": image, "truth": paint(image, truth, data), "prediction": paint(image, prediction, data)}
        return found | {"error": error_map(truth, prediction, data, image)}, []
    factor = factor_of(image.shape[1])  # names are written on what is large enough to be read
    image, truth, prediction = enlarge(image, factor), _segments(truth, factor), _segments(prediction, factor)
    errors = segment_errors(truth, prediction, data)
    found = {"image": image, "truth": paint(image, truth, data), "prediction": paint(image, prediction, data)}
    found["error"], legend = draw_errors(errors, truth, prediction, image), errors.legend()
    more, words = _maps(image, truth, prediction, data)
    return found | more, legend + words


def _objects(image: Tensor, truth: Targets, prediction: Prediction, data: DataSpec, kind: str) -> tuple[dict[str, Tensor], Legend]:
    """Boxes or masks, enlarged, so that names can be read on the boxes of a small picture."""
    factor = factor_of(image.shape[1])
    image, truth, prediction = enlarge(image, factor), _larger(truth, factor), _larger(prediction, factor)
    errors = object_errors(truth, prediction, kind)
    found = {"image": image, "truth": paint(image, truth, data), "prediction": paint(image, prediction, data)}
    return found | {"error": draw_object_errors(errors, truth, data, image)}, errors.legend()


def _labels(image: Tensor, errors: LabelErrors, data: DataSpec) -> tuple[dict[str, Tensor], Legend]:
    """Classes of the whole picture, enlarged, so that there is room to write them; their lines say what is wrong, so no error picture."""
    image = enlarge(image, factor_of(image.shape[1]))
    found = {"truth": listing(image, true_lines(errors, data)), "prediction": listing(dimmed(image), errors.lines(data.names))}
    return {"image": image} | found, errors.legend(data)


def _extra(image: Tensor, truth: Targets, prediction: Prediction) -> tuple[dict[str, Tensor], Legend]:
    """Maps [1,H,W] of a user's own kinds, of truth and prediction, and how far they are apart; no other shape has a picture."""
    found, legend = {"image": image}, []
    for name in sorted(truth.extra.keys() & prediction.extra.keys()):
        real, guess = (x.extra[name].float() for x in (truth, prediction))
        if real.ndim == 3 and real.shape == guess.shape and len(real) == 1:
            apart = (real - guess).abs()
            maps = {name: real, f"{name}, predicted": guess, f"{name}, error": apart}
            found |= {title: heat_picture(image, x) for title, x in maps.items()}
            legend.append((f"{name}: white is {float(real.max()):.3g}; error: white is {float(apart.max()):.3g}", STRIP))
    return found, legend


def _larger(annotation: Kind, factor: int) -> Kind:
    """The objects alone, enlarged."""
    boxes, masks = annotation.boxes, annotation.masks
    larger = {"boxes": None if boxes is None else boxes * factor, "masks": None if masks is None else enlarge(masks, factor)}
    return replace(annotation, semantic=None, segments=None, **larger)


def _segments(annotation: Kind, factor: int) -> Kind:
    """The segments alone, enlarged."""
    larger = enlarge(annotation.segments, factor)
    return replace(annotation, segments=larger, semantic=None, boxes=None, masks=None, labels=None)


def _maps(image: Tensor, truth: Targets, prediction: Prediction, data: DataSpec) -> tuple[dict[str, Tensor], Legend]:
    """Pictures of what the prediction was made of, where it brings that."""
    found, legend, maps = {}, [], prediction.maps or {}
    things = torch.tensor(data.thing_ids)
    if "center" in maps:
        real = torch.isin(truth.segment_labels, things)
        if truth.segment_crowd is not None:
            real &= ~truth.segment_crowd
        found["centres"] = heat_picture(image, maps["center"], centers(truth.segments, len(real))[real])
        legend.append((f"centres: the heatmap, white is {max(float(maps['center'].max()), 0.1):.2f}; rings: true centres", STRIP))
    if "offset" in maps:
        there = of_pixels(prediction.segments, torch.isin(prediction.segment_labels, things).long()) > 0
        found["to the centre"], longest = field_picture(image, maps["offset"], there)
        legend.append((f"to the centre: the wheel's colour is the way, brightest from {longest:.0f} px on", STRIP))
    return found, legend
