"""Segment maps against loops and values worked out by hand."""

import torch

from segexp.functional import masks, segments

MAP = torch.tensor([[1, 1, 0, 3], [1, 0, 0, 3], [2, 2, 2, 3]], dtype=torch.int32)


def test_areas():
    assert segments.areas(MAP, 4).tolist() == [3, 3, 3, 0]


def test_compact_drops_the_empty_and_keeps_the_order():
    labels, crowd = torch.tensor([9, 8, 7, 6]), torch.tensor([False, True, False, True])
    holey = torch.where(MAP == 2, 0, MAP)
    out, left, flags = segments.compact(holey, labels, crowd)
    assert out.tolist() == [[1, 1, 0, 2], [1, 0, 0, 2], [0, 0, 0, 2]]
    assert (left.tolist(), flags.tolist()) == ([9, 7], [False, False])


def test_semantic_and_masks():
    semantic = segments.to_semantic(MAP, torch.tensor([4, 5, 4]), 255)
    assert semantic.dtype == torch.uint8
    assert semantic.tolist() == [[4, 4, 255, 4], [4, 255, 255, 4], [5, 5, 5, 4]]
    found = segments.to_masks(MAP, torch.tensor([3, 1]))
    assert torch.equal(found[0], MAP == 3)
    assert torch.equal(found[1], MAP == 1)


def test_centers_and_offsets_by_hand():
    middle = segments.centers(MAP, 4)
    assert torch.allclose(middle[:3], torch.tensor([[1 / 3, 1 / 3], [2, 1], [1, 3]]))
    assert middle[3].isnan().all()
    vectors = segments.offsets(MAP, torch.nan_to_num(middle))
    assert vectors[:, 0, 3].tolist() == [1, 0]  # from (0, 3) to (1, 3)
    assert vectors[:, 2, 0].tolist() == [0, 1]
    assert vectors[:, 0, 2].tolist() == [0, 0]  # void


def test_boxes_of_masks():
    found = torch.zeros(3, 5, 6, dtype=torch.bool)
    found[0, 1:3, 2:5] = True
    found[1, 4, 5] = True
    assert masks.to_boxes(found).tolist() == [[2, 1, 5, 3], [5, 4, 6, 5], [0, 0, 0, 0]]
    assert masks.to_boxes(found[:0]).shape == (0, 4)
