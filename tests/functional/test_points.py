"""Points and objects: by hand."""

import torch

from segexp.functional.points import centerness, distances, match_points

POINTS = torch.tensor([[5.0, 5], [0, 5], [8, 8], [25, 5], [5, 9]])
BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 40, 10]])
NONE = torch.tensor([False, False])


def found(boxes=BOXES, crowd=NONE, low=0.0, high=torch.inf, reach=100.0):
    return match_points(boxes, crowd, POINTS, *(torch.full((len(POINTS),), float(x)) for x in (low, high, reach))).tolist()


def test_the_smallest_box_that_a_point_lies_inside_of():
    assert found() == [0, -1, 0, 1, 0]  # the second is on an edge


def test_how_far_the_farthest_side_is():
    assert found(high=8) == [0, -1, -1, -1, -1]
    assert found(low=8, high=9.5) == [-1, -1, -1, -1, 0]
    assert found(low=8) == [1, -1, 1, 1, 0]  # 5 is too near to the sides of the small box


def test_how_far_the_middle_is():
    assert found(reach=3.5) == [0, -1, 0, -1, -1]
    assert found(reach=5.5) == [0, -1, 0, 1, 0]


def test_crowds():
    assert found(crowd=torch.tensor([False, True])) == [0, -1, 0, -2, 0]
    assert found(crowd=torch.tensor([True, False]), low=35) == [-2, -1, -2, -1, -2]
    assert found(BOXES[:0], NONE[:0]) == [-1] * 5


def test_centerness_by_hand():
    points = torch.tensor([[5.0, 5], [2, 5], [2, 9], [0, 0]])
    values = centerness(points, BOXES[:1].expand(4, 4))
    assert torch.allclose(values, torch.tensor([1, (2 / 8) ** 0.5, (2 / 8 * 1 / 9) ** 0.5, 0]))
    assert distances(points, BOXES[:1].expand(4, 4))[2].tolist() == [2, 9, 8, 1]
