"""Regions: torchvision's proposals and pooling, draws by key, values by hand."""

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign, roi_align

from segexp.functional.rois import candidates, detect, level_of, lies_in, objects, pool, propose, sample
from segexp.types import Targets


def boxes_of(count, seed=0, side=600):
    rng = torch.Generator().manual_seed(seed)
    low, size = torch.rand(count, 2, generator=rng) * side * 0.7, torch.rand(count, 2, generator=rng) * side * 0.8 + 1
    return torch.cat([low, low + size], 1)


def test_proposals_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 90, 90], [0, 0, 10, 10], [50, 50, 50, 60], [3, 3, 6, 6]])
    scores = torch.tensor([1.0, 2.0, 0.5, 3.0, 9.0, -1.0])
    options = {"before": 10, "after": 10, "threshold": 0.7}
    found = propose(scores, boxes, [3, 3], (40, 50), **options)
    # of level 1: the second suppresses the first; the third is cut to the image; of level 2: one has no area
    assert found.tolist() == [[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 50, 40], [3, 3, 6, 6]]
    assert propose(scores, boxes, [3, 3], (40, 50), **options | {"after": 2}).tolist() == found[:2].tolist()
    assert propose(scores, boxes, [3, 3], (40, 50), **options | {"before": 1}).tolist() == [[0, 0, 10, 9]]


def test_detections_suppress_each_other_within_a_class():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10], [5, 5, 5, 9]])
    scores, labels = torch.tensor([0.5, 0.6, 0.4, 0.9]), torch.tensor([0, 0, 1, 0])
    assert detect(scores, boxes, labels, threshold=0.5, most=9).tolist() == [1, 2]
    assert detect(scores, boxes, labels, threshold=0.5, most=1).tolist() == [1]
    assert detect(scores, boxes, labels, threshold=0.95, most=9).tolist() == [1, 0, 2]


def test_samples():
    matched = torch.tensor([-1] * 20 + [0, 1, 2, 3] + [-2] * 20)
    found = sample(matched, 8, 0.25, 5, "roi")
    assert (matched[found][:2] >= 0).all()
    assert (matched[found][2:] == -1).all()
    assert len(found) == len(found.unique()) == 8
    assert torch.equal(found, sample(matched, 8, 0.25, 5, "roi"))
    assert not torch.equal(found, sample(matched, 8, 0.25, 6, "roi"))
    assert len(sample(matched, 100, 0.25, 5)) == 24
    assert len(sample(matched[20:], 8, 1.0, 5)) == 4
    assert sample(matched[:0], 8, 1.0, 5).tolist() == []


def test_every_candidate_is_drawn_as_often():
    matched = torch.full((10,), -1)
    drawn = torch.cat([sample(matched, 3, 0.5, key) for key in range(1000)])
    assert torch.allclose(torch.bincount(drawn, minlength=10) / 1000, torch.full((10,), 0.3), atol=0.06)


def test_objects_join_the_proposals_but_crowds_and_empty_ones():
    target = Targets(boxes=torch.tensor([[0.0, 0, 2, 2], [1, 1, 1, 5], [0, 0, 9, 9]]), labels=torch.tensor([0, 1, 2]))
    boxes, labels, crowd = objects(target, torch.device("cpu"))
    assert (labels.tolist(), crowd.tolist()) == ([0, 1, 2], [False] * 3)
    crowd[2] = True
    assert candidates(torch.ones(1, 4), boxes, crowd).tolist() == [[1, 1, 1, 1], [0, 0, 2, 2]]


def test_anchors_in_the_padding():
    anchors = torch.tensor([[-4.0, -4, 4, 4], [12, 0, 18, 4], [10, 0, 30, 4], [0, 6, 4, 10], [0, 8, 4, 10]])
    assert lies_in(anchors, (9, 20)).tolist() == [True, True, False, True, False]


def test_torchvisions_pooling():
    torch.manual_seed(0)
    strides = (4, 8, 16, 32)
    levels = [torch.randn(2, 3, 640 // s, 640 // s) for s in strides]
    boxes = [boxes_of(40), torch.cat([boxes_of(30, 1), torch.tensor([[3.0, 4, 115, 116], [0, 0, 224, 224], [0, 0, 111, 111]])])]
    wanted = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)({str(i): x for i, x in enumerate(levels)}, boxes, [(640, 640)] * 2)
    assert torch.allclose(pool(levels, strides, boxes, 7), wanted, atol=1e-6)
    assert pool(levels, strides, [boxes[0][:0], boxes[1][:0]], 7).shape == (0, 3, 7, 7)


@pytest.mark.parametrize(("side", "wanted"), [(1, 0), (56, 0), (111, 0), (112, 1), (224, 2), (448, 3), (5000, 3)])
def test_the_level_of_a_region(side, wanted):
    assert level_of(torch.tensor([[0.0, 0, side, side]]), (4, 8, 16, 32)).tolist() == [wanted]


def test_strides_need_not_double():
    box = torch.tensor([[0.0, 0, 448, 448]])
    assert level_of(box, (4, 8, 16, 16)).tolist() == [3]
    x = torch.randn(1, 2, 17, 17)  # a map whose size says nothing of its stride
    assert torch.equal(pool([x], (4,), [box / 8], 7), roi_align(x, torch.tensor([[0.0, 0, 0, 56, 56]]), 7, 0.25, 2))


def test_gradients_reach_every_level():
    levels = [torch.randn(1, 2, 8, 8, requires_grad=True) for _ in range(2)]
    pool(levels, (4, 8), [torch.tensor([[0.0, 0, 20, 20]])], 7).sum().backward()
    assert levels[0].grad.abs().sum() > 0
    assert levels[1].grad.abs().sum() == 0
