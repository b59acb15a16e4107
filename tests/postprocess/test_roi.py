"""Detections of two-stage detectors at original size: boxes, masks, what is provided."""

import pytest
import torch

from segexp.errors import ConfigError
from segexp.postprocess.roi import RoiDetections
from segexp.types import ClassInfo, DataSpec, Detected, MaskRoiOutput, RoiOutput

DATA = DataSpec((ClassInfo("a", True), ClassInfo("b", True)), frozenset({"masks"}))


def output(kind=MaskRoiOutput):
    masks = torch.full((2, 4, 4), -9.0)
    masks[0, :2] = 9
    masks[1] = 9
    boxes = torch.tensor([[2.0, 2, 6, 6], [0, 0, 4, 2]])
    found = Detected([boxes, boxes[:0]], [torch.tensor([0.9, 0.3]), torch.zeros(0)], [torch.tensor([1, 0]), torch.zeros(0).long()])
    found.mask_logits = [masks, masks[:0]] if kind is MaskRoiOutput else None
    return kind(None, None, found)


def test_boxes_and_masks_at_original_size():
    first, second = RoiDetections(DATA, masks=True)(output(), ((8, 8), (8, 8)), ((16, 8), (4, 4)))
    assert first.boxes.tolist() == [[2, 4, 6, 12], [0, 0, 4, 4]]
    assert (first.labels.tolist(), first.scores.tolist()) == ([1, 0], pytest.approx([0.9, 0.3]))
    wanted = torch.zeros(2, 16, 8, dtype=torch.bool)
    wanted[0, 4:8, 2:6] = wanted[1, :4, :4] = True
    assert torch.equal(first.masks, wanted)
    assert (second.boxes.shape, second.masks.shape, len(second.scores)) == ((0, 4), (0, 4, 4), 0)


def test_without_masks():
    finish = RoiDetections(DATA)
    assert (finish.accepts, finish.provides) == (RoiOutput, {"boxes"})
    found = finish(output(RoiOutput), ((8, 8),) * 2, ((8, 8),) * 2)[0]
    assert found.masks is None
    assert found.boxes.tolist() == [[2, 2, 6, 6], [0, 0, 4, 2]]
    both = RoiDetections(DATA, masks=True)
    assert (both.accepts, both.provides) == (MaskRoiOutput, {"boxes", "masks"})


def test_refusals():
    with pytest.raises(ConfigError, match=r"postprocess\.mask_threshold=1\.5; fix: postprocess\.mask_threshold=0\.5"):
        RoiDetections(DATA, mask_threshold=1.5)
