"""Anchors and points: by hand, and as torchvision's generator gives them where the strides divide the image."""

import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from segexp.functional.anchors import grid_anchors, grid_points

SIZES = [(32, 40, 50), (64, 80, 101)]


def test_points_by_hand():
    points = grid_points([(2, 3), (1, 1)], [4, 8])
    assert points.tolist() == [[0, 0], [4, 0], [8, 0], [0, 4], [4, 4], [8, 4], [0, 0]]


def test_anchors_by_hand():
    first, second = grid_anchors([(1, 2), (1, 1)], [8, 16], [(16,), (32,)], (1.0, 4.0))
    assert first.tolist() == [[-8, -8, 8, 8], [-4, -16, 4, 16], [0, -8, 16, 8], [4, -16, 12, 16]]
    assert second.tolist() == [[-16, -16, 16, 16], [-8, -32, 8, 32]]


def test_anchors_are_torchvisions():
    ratios = (0.5, 1.0, 2.0)
    generator = AnchorGenerator(tuple(SIZES), (ratios,) * 2)
    maps = [torch.zeros(1, 1, 8, 12), torch.zeros(1, 1, 4, 6)]
    (theirs,) = generator(ImageList(torch.zeros(1, 3, 64, 96), [(64, 96)]), maps)
    assert torch.equal(torch.cat(grid_anchors([(8, 12), (4, 6)], [8, 16], SIZES, ratios)), theirs)


def test_the_stride_is_the_true_one():
    (level,) = grid_anchors([(1, 17)], [4], [(2,)], (1.0,))  # of 65 pixels; 65 // 17 is 3
    assert level[-1].tolist() == [63, -1, 65, 1]
