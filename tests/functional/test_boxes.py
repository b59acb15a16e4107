"""Boxes: overlaps and vectors worked out by hand."""

import math

import pytest
import torch

from segexp.functional.boxes import areas, clip, decode, encode, ioa, iou, rescale

A = torch.tensor([[0.0, 0, 4, 2], [2, 0, 6, 2]])
EMPTY = torch.tensor([[3.0, 3, 3, 5]])


def test_overlaps():
    assert areas(A).tolist() == [8, 8]
    assert torch.allclose(iou(A, A), torch.tensor([[1, 4 / 12], [4 / 12, 1]]))
    assert ioa(A, torch.tensor([[0.0, 0, 2, 2]])).tolist() == [[0.5], [0]]
    assert ioa(A, A.new_zeros(0, 4)).shape == (2, 0)


def test_boxes_without_area_overlap_nothing():
    assert iou(EMPTY, EMPTY).tolist() == [[0]]
    assert ioa(EMPTY, torch.tensor([[0.0, 0, 9, 9]])).tolist() == [[0]]


def test_vectors_by_hand():
    anchor, box = torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[5.0, 0, 25, 20]])
    deltas = encode(box, anchor)  # its middle is 10 further right: one width; it is twice as wide
    assert torch.allclose(deltas, torch.tensor([[1, 0, math.log(2), 0]]))
    assert torch.allclose(encode(box, anchor, (10, 10, 5, 5)), deltas * torch.tensor([10.0, 10, 5, 5]))
    assert torch.allclose(decode(deltas, anchor), box)


@pytest.mark.parametrize("lead", [(), (3,)])
def test_decode_undoes_encode(lead):
    rng = torch.Generator().manual_seed(0)
    corners = torch.rand(2, 50, 4, generator=rng) * 50
    anchors, boxes = (torch.cat([c[:, :2], c[:, :2] + 1 + c[:, 2:]], 1) for c in corners)
    deltas = encode(boxes, anchors, (10, 10, 5, 5))
    two = torch.cat([deltas, torch.zeros(50, 4)], 1).expand(*lead, 50, 8)
    found = decode(two, anchors, (10, 10, 5, 5))
    assert torch.allclose(found, torch.cat([boxes, anchors], 1).expand(*lead, 50, 8), atol=1e-4)


def test_no_vector_makes_an_endless_box():
    anchor = torch.tensor([[0.0, 0, 16, 16]])
    box = decode(torch.tensor([[0.0, 0, 1e9, 1e9]]), anchor)
    assert torch.allclose(box, torch.tensor([[-492.0, -492, 508, 508]]))
    assert torch.allclose(decode(torch.tensor([[0.0, 0, 9, 0]]), anchor, size_limit=0.0), anchor)


def test_decode_of_nothing():
    assert decode(torch.zeros(0, 8), torch.zeros(0, 4)).shape == (0, 8)


def test_clip_and_rescale():
    boxes = torch.tensor([[-1.0, 2, 30, 40]])
    assert clip(boxes, (20, 10)).tolist() == [[0, 2, 10, 20]]
    assert rescale(boxes, (10, 10), (20, 5)).tolist() == [[-0.5, 4, 15, 80]]
