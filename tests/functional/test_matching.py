"""Matching: thresholds, forced matches and crowds by hand; as torchvision's Matcher without crowds."""

import pytest
import torch
from torchvision.models.detection._utils import Matcher

from segexp.functional.boxes import iou
from segexp.functional.matching import match

BOX = torch.tensor([[0.0, 0, 10, 10]])
ALONE = torch.tensor([False])


def wide(*ends):
    """Boxes from 0 whose overlap with `BOX` is a tenth of their width."""
    return torch.tensor([[0.0, 0, x, 10] for x in ends])


def test_thresholds():
    assert match(BOX, ALONE, wide(5, 4.5, 4, 3.9), 0.5, 0.4, False).tolist() == [0, -2, -2, -1]


def test_every_object_gets_its_best_and_all_of_equals():
    assert match(BOX, ALONE, wide(3, 2, 3), 0.5, 0.4, True).tolist() == [0, -1, 0]
    assert match(BOX, ALONE, wide(3, 2, 3), 0.5, 0.4, False).tolist() == [-1, -1, -1]


def test_an_object_that_nothing_overlaps_stays_without():
    far = torch.tensor([[50.0, 50, 60, 60], [70, 70, 80, 80]])
    assert match(BOX, ALONE, far, 0.5, 0.4, True).tolist() == [-1, -1]


def test_crowds_are_never_matched_and_what_lies_in_them_is_ignored():
    boxes, crowd = torch.tensor([[0.0, 0, 10, 10], [20, 0, 40, 10]]), torch.tensor([False, True])
    anchors = torch.tensor([[20.0, 0, 40, 10], [30, 0, 50, 10], [29, 0, 49, 10], [0, 0, 10, 10]])
    assert match(boxes, crowd, anchors, 0.5, 0.4, True).tolist() == [-2, -1, -2, 0]


def test_an_object_in_a_crowd_is_matched():
    boxes, crowd = torch.tensor([[0.0, 0, 40, 10], [0, 0, 10, 10]]), torch.tensor([True, False])
    assert match(boxes, crowd, torch.tensor([[0.0, 0, 10, 10]]), 0.5, 0.4, False).tolist() == [1]


def test_nothing_there():
    none = torch.zeros(0, 4)
    assert match(none, torch.zeros(0, dtype=torch.bool), wide(1, 2), 0.5, 0.4, True).tolist() == [-1, -1]
    assert match(BOX, ALONE, none, 0.5, 0.4, True).tolist() == []
    assert match(BOX, torch.tensor([True]), torch.tensor([[50.0, 50, 60, 60]]), 0.5, 0.4, True).tolist() == [-1]


@pytest.mark.parametrize("force", [False, True])
def test_as_torchvision(force):
    rng = torch.Generator().manual_seed(int(force))
    for _ in range(20):
        corners = torch.rand(40, 4, generator=rng) * 30
        boxes = torch.cat([corners[:, :2], corners[:, :2] + 1 + corners[:, 2:]], 1)
        objects, anchors = boxes[:5], boxes[5:]
        theirs = Matcher(0.5, 0.4, allow_low_quality_matches=force)(iou(objects, anchors))
        assert torch.equal(match(objects, torch.zeros(5, dtype=torch.bool), anchors, 0.5, 0.4, force), theirs)
