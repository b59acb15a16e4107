"""Detections of one-stage heads: torchvision's, and values by hand."""

import math
from dataclasses import replace

import pytest
import torch

from segexp.errors import ConfigError
from segexp.heads.fcos import FcosHead
from segexp.heads.retinanet import RetinaNetHead
from segexp.postprocess.dense_nms import DenseNms
from segexp.types import ClassInfo, DenseBoxes
from tests.heads.one_stage import DATA, VALID, images, ours, pyramid, theirs


@pytest.mark.parametrize(("kind", "names"), [(FcosHead, (0.2, 0.6)), (RetinaNetHead, (0.05, 0.5))])
def test_as_torchvision(kind, names):
    score, nms = names
    head, features = ours(kind), pyramid()
    with torch.no_grad():
        published = theirs(head, features, score_thresh=score, nms_thresh=nms, topk_candidates=50)(images())
        found = DenseNms(DATA, score_threshold=score, nms_threshold=nms, candidates=50)(head(features, VALID), VALID, VALID)
    for mine, other in zip(found, published, strict=True):
        kept = (other["boxes"][:, 2:] > other["boxes"][:, :2]).all(1)  # torchvision keeps boxes outside the image, of no area
        assert len(mine.boxes) >= kept.sum() > 30
        number = int(kept.sum())
        torch.testing.assert_close(mine.scores[:number], other["scores"][kept])
        torch.testing.assert_close(mine.boxes[:number], other["boxes"][kept], rtol=0, atol=1e-4)
        assert torch.equal(mine.labels[:number], other["labels"][kept])


def logit(p):
    return math.log(p / (1 - p))


def output(*rows, levels=None, quality=None):
    """Of rows (probabilities of three classes, box)."""
    logits = torch.tensor([[[logit(p) for p in row[0]] for row in rows]])
    boxes = torch.tensor([[row[1] for row in rows]], dtype=torch.float32)
    central = None if quality is None else torch.tensor([[[logit(q)] for q in quality]])
    return DenseBoxes(logits, torch.zeros_like(boxes), boxes, boxes[0], levels or (len(rows),), central)


LOW = 0.01
BOX, SHIFTED, FAR = (0, 0, 10, 10), (1, 0, 11, 10), (20, 0, 30, 10)


def detections(given, size=(40, 40), original=(40, 40), **options):
    (found,) = DenseNms(DATA, **options)(given, (size,), (original,))
    rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    return [(label, round(score, 4), tuple(box)) for label, score, box in rows]


def test_the_best_of_each_class():
    given = output(((0.6, LOW, 0.3), BOX), ((0.8, LOW, LOW), SHIFTED), ((0.5, 0.04, LOW), FAR))
    assert detections(given) == [(0, 0.8, SHIFTED), (0, 0.5, FAR), (2, 0.3, BOX)]
    assert detections(given, nms_threshold=0.9)[:2] == [(0, 0.8, SHIFTED), (0, 0.6, BOX)]
    assert detections(given, score_threshold=0.4) == [(0, 0.8, SHIFTED), (0, 0.5, FAR)]
    assert detections(given, detections=1) == [(0, 0.8, SHIFTED)]


def test_the_score_is_the_mean_of_class_and_quality():
    given = output(((0.9, LOW, LOW), BOX), ((0.5, LOW, LOW), FAR), quality=(0.1, 0.5))
    assert detections(given)[:2] == [(0, 0.5, FAR), (0, 0.3, BOX)]


def test_candidates_are_of_each_level():
    given = output(((0.9, LOW, LOW), BOX), ((0.8, LOW, LOW), FAR), ((0.2, LOW, 0.3), FAR), levels=(2, 1))
    assert detections(given, candidates=1) == [(0, 0.9, BOX), (2, 0.3, FAR)]


def test_boxes_at_original_size_without_what_lies_outside():
    given = output(((0.9, LOW, LOW), (-5, 30, 10, 60)), ((0.8, LOW, LOW), (45, 0, 60, 10)))
    assert detections(given, original=(80, 20)) == [(0, 0.9, (0, 60, 5, 80))]


def test_what_lies_outside_takes_no_place():
    given = output(((0.9, LOW, LOW), (45, 0, 60, 10)), ((0.8, LOW, LOW), BOX))
    assert detections(given, detections=1) == [(0, 0.8, BOX)]


def test_nothing_found():
    (found,) = DenseNms(DATA, score_threshold=0.99)(output(((0.5, 0.5, 0.5), BOX)), ((40, 40),), ((40, 40),))
    assert found.boxes.shape == (0, 4)
    assert found.labels.shape == found.scores.shape == (0,)
    assert found.labels.dtype == torch.int64


@pytest.mark.parametrize("options", [{"score_threshold": 1}, {"nms_threshold": -1}, {"candidates": 0}, {"detections": 0}])
def test_values_that_make_no_sense(options):
    ((name, value),) = options.items()
    with pytest.raises(ConfigError, match=f"postprocess.{name}={value}"):
        DenseNms(DATA, **options)


def test_stuff_is_no_detection():
    spec = replace(DATA, classes=(ClassInfo("ground", False), *DATA.classes[1:]))
    case = output(((0.9, 0.3, 0.1), (0, 0, 4, 4)))
    (found,) = DenseNms(spec, score_threshold=0.2)(case, ((8, 8),), ((8, 8),))
    assert found.labels.tolist() == [1]
