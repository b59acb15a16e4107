"""The lattice of annotations, derived by hand."""

import pytest
import torch

from segexp.errors import DataError
from segexp.targets import complete, derive
from segexp.types import ClassInfo, DataSpec, Prediction

SPEC = DataSpec((ClassInfo("sky"), ClassInfo("car", True), ClassInfo("person", True)), frozenset({"segments"}))
SAMPLE = {
    "segments": torch.tensor([[1, 1, 1, 1], [2, 2, 3, 0], [2, 2, 4, 4]], dtype=torch.int32),
    "segment_labels": torch.tensor([0, 1, 2, 2]),
    "segment_crowd": torch.tensor([False, False, False, True]),
    "meta": {"id": "a/1"},
}


def test_everything_from_segments():
    found = derive(SAMPLE, {"masks", "boxes", "semantic", "label"}, SPEC, key=5)
    assert found.semantic.tolist() == [[0, 0, 0, 0], [1, 1, 2, 255], [1, 1, 2, 2]]
    assert found.labels.tolist() == [1, 2, 2]
    assert found.crowd.tolist() == [False, False, True]
    assert found.boxes.tolist() == [[0, 1, 2, 3], [2, 1, 3, 2], [2, 2, 4, 3]]
    assert found.masks.sum((1, 2)).tolist() == [4, 1, 2]
    assert int(found.label) == 1
    assert found.key == 5
    assert found.segments is None  # only what was asked for


def test_label_of_the_largest_thing_that_is_no_crowd():
    sample = SAMPLE | {"segment_crowd": torch.tensor([False, True, False, True])}
    assert int(derive(sample, {"label"}, SPEC).label) == 2
    only_stuff = {
        "segments": torch.ones(2, 2, dtype=torch.int32),
        "segment_labels": torch.tensor([0]),
        "segment_crowd": torch.tensor([False]),
    }
    assert int(derive(only_stuff, {"label"}, SPEC).label) == 0
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "crowd": torch.zeros(0, dtype=torch.bool)}
    assert int(derive(nothing, {"label"}, SPEC).label) == SPEC.ignore_index


def test_classes_present_are_those_of_segments_things_or_the_image():
    assert derive(SAMPLE, {"present"}, SPEC).present.tolist() == [1, 1, 1]
    hidden = SAMPLE | {"segments": torch.tensor([[1, 1], [4, 4]], dtype=torch.int32)}  # the car has no pixel, a crowd has
    assert derive(hidden, {"present"}, SPEC).present.tolist() == [1, 0, 1]
    boxes = {"boxes": torch.zeros(2, 4), "labels": torch.tensor([1, 1]), "crowd": torch.zeros(2, dtype=torch.bool)}
    assert derive(boxes, {"present"}, SPEC).present.tolist() == [0, 1, 0]
    assert derive({"label": torch.tensor(2)}, {"present"}, SPEC).present.tolist() == [0, 0, 1]
    assert derive({"label": torch.tensor(SPEC.ignore_index)}, {"present"}, SPEC).present.tolist() == [0, 0, 0]


def test_what_cannot_be_derived_is_refused():
    sample = {"semantic": torch.zeros(2, 2, dtype=torch.uint8), "meta": {"id": "x/7"}}
    with pytest.raises(DataError, match="boxes, masks can't be derived; sample x/7 carries semantic"):
        derive(sample, {"masks", "boxes", "semantic"}, SPEC)


def test_predictions_give_masks_and_boxes_but_never_semantic():
    prediction = Prediction(
        segments=SAMPLE["segments"], segment_labels=SAMPLE["segment_labels"], segment_scores=torch.tensor([1.0, 0.9, 0.8, 0.7])
    )
    found = complete(prediction, {"boxes", "semantic"}, SPEC)
    assert found.semantic is None
    assert found.labels.tolist() == [1, 2, 2]
    assert torch.allclose(found.scores, torch.tensor([0.9, 0.8, 0.7]))
    assert found.boxes[0].tolist() == [0, 1, 2, 3]
    direct = Prediction(boxes=torch.ones(1, 4), segments=SAMPLE["segments"], segment_labels=SAMPLE["segment_labels"])
    assert complete(direct, {"boxes"}, SPEC) is direct
