"""Detections that are found, missed, false or in a crowd; and their colours."""

import pytest
import torch

from segexp.types import ClassInfo, DataSpec, Prediction, Targets
from segexp.visualize.compare import comparison
from segexp.visualize.object_errors import FALSE, FOUND, MISSED, UNLABELLED, draw_object_errors, kind_of_objects, object_errors

DATA = DataSpec((ClassInfo("road"), ClassInfo("car", True, (0, 0, 142)), ClassInfo("cat", True)), frozenset({"masks"}))
IMAGE = torch.full((3, 220, 300), 90, dtype=torch.uint8)
CORNERS = torch.tensor([[20, 40, 60, 80], [100, 40, 140, 80], [180, 40, 220, 80], [20, 120, 120, 210]])


def masks_of(boxes):
    masks = torch.zeros(len(boxes), 220, 300, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
    return masks


def both(kind):
    """Three objects and a crowd; two are found, one of them twice, one is taken for another class, two lie in the crowd."""
    labels, crowd = torch.tensor([1, 1, 2, 1]), torch.tensor([False, False, False, True])
    places = torch.cat([CORNERS[[0, 0, 1, 2]], torch.tensor([[30, 130, 60, 170], [70, 130, 100, 170], [250, 150, 290, 190]])])
    guess = {"labels": torch.tensor([1, 1, 1, 1, 1, 1, 2]), "scores": torch.tensor([0.9, 0.5, 0.8, 0.7, 0.6, 0.6, 0.2])}
    if kind == "boxes":
        return Targets(boxes=CORNERS.float(), labels=labels, crowd=crowd), Prediction(boxes=places.float(), **guess)
    return Targets(masks=masks_of(CORNERS), labels=labels, crowd=crowd), Prediction(masks=masks_of(places), **guess)


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_each_object_is_found_once_by_the_best_detection_of_its_class(kind):
    truth, prediction = both(kind)
    errors = object_errors(truth, prediction, kind)
    assert errors.missed.tolist() == [False, False, True, False]  # the crowd isn't missed
    assert errors.shown.scores.tolist() == pytest.approx([0.5, 0.6, 0.6, 0.7, 0.8, 0.9])  # without the uncertain one
    assert errors.false.tolist() == [True, False, False, True, False, False]
    assert errors.excused.tolist() == [False, True, True, False, False, False]
    assert [text for text, _ in errors.legend()] == ["found 2", "missed 1", "false 2", "crowd"]


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_the_picture_has_a_colour_for_each(kind):
    truth, prediction = both(kind)
    picture = draw_object_errors(object_errors(truth, prediction, kind), truth, DATA, IMAGE)
    seen = {tuple(color) for color in picture.flatten(1).T.unique(dim=0).tolist()}
    assert {FOUND, MISSED, FALSE, UNLABELLED} <= seen
    assert tuple(picture[:, 60, 139].tolist()) == FOUND and tuple(picture[:, 60, 180].tolist()) == MISSED


def test_nothing_on_either_side():
    truth = Targets(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64))
    prediction = Prediction(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.int64), scores=torch.zeros(0))
    errors = object_errors(truth, prediction, "boxes")
    assert [text for text, _ in errors.legend()] == ["found 0", "missed 0", "false 0"]
    assert draw_object_errors(errors, truth, DATA, IMAGE).unique().tolist() == [40]
    empty = Targets(masks=torch.zeros(0, 220, 300, dtype=torch.bool), labels=truth.labels)
    guess = Prediction(masks=empty.masks, labels=prediction.labels, scores=prediction.scores)
    assert draw_object_errors(object_errors(empty, guess, "masks"), empty, DATA, IMAGE).unique().tolist() == [40]


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_a_panel_counts_them_below(kind):
    pictures, legend = comparison(IMAGE, *both(kind), DATA)
    assert list(pictures) == ["image", "truth", "prediction", "error"]
    assert legend[1] == ("missed 1", MISSED)
    small, _ = comparison(IMAGE[:, :110, :150], *(half(x) for x in both(kind)), DATA)
    assert {p.shape for p in small.values()} == {(3, 220, 300)}  # enlarged, so that names can be read


def half(annotation):
    parts = {name: getattr(annotation, name) for name in ("labels", "scores", "crowd") if getattr(annotation, name, None) is not None}
    if annotation.boxes is not None:
        return type(annotation)(boxes=annotation.boxes / 2, **parts)
    return type(annotation)(masks=annotation.masks[:, ::2, ::2], **parts)


def test_which_kind_is_compared():
    truth, prediction = both("boxes")
    assert kind_of_objects(truth, prediction) == "boxes"
    masks = both("masks")
    assert kind_of_objects(*masks) == "masks"
    assert kind_of_objects(truth, masks[1]) is None
    assert kind_of_objects(Targets(label=torch.tensor(1)), Prediction(label_scores=torch.ones(3) / 3)) is None
