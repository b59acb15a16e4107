"""Accuracies, by hand and against counting with numpy."""

import math

import numpy as np
import torch

from segexp.metrics.classification import ClassificationMetrics
from segexp.types import ClassInfo, DataSpec, Prediction, Targets

NAMES = "abcdefg"


def spec(classes):
    return DataSpec(tuple(ClassInfo(n) for n in NAMES[:classes]), frozenset({"label"}))


def measured(metric, scores, labels):
    pairs = zip(scores, labels, strict=True)
    return [metric.measure(Prediction(label_scores=torch.as_tensor(s)), Targets(label=torch.tensor(t))) for s, t in pairs]


def figures(scores, labels, classes):
    metric = ClassificationMetrics(spec(classes))
    metric.update(measured(metric, scores, labels))
    return {name: float(value) for name, value in metric.compute().items()}, metric


def test_by_hand():
    found, metric = figures([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.9, 0.1, 0.0]], [0, 0, 1, 255], 3)
    assert (found["top1"], found["acc/a"], found["acc/b"]) == (1 / 3, 0.5, 0.0)
    assert math.isnan(found["acc/c"])
    assert found["mean_acc"] == 0.25
    assert metric.counted.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert "top5" not in found  # of three classes it would always be 1


def test_of_equal_scores_the_lower_class_goes_first():
    even = [[1 / 7] * 7] * 7
    found, _ = figures(even, list(range(7)), 7)
    assert (found["top1"], found["top5"], found["acc/a"]) == (1 / 7, 5 / 7, 1.0)


def test_the_record_of_an_image():
    metric = ClassificationMetrics(spec(3))
    seen, unknown = measured(metric, [[0.25, 0.5, 0.25]] * 2, [2, 255])
    assert {name: value.item() for name, value in seen.items()} == {"truth": 2, "predicted": 1, "rank": 2, "score": 0.25}
    assert {name: value.item() for name, value in unknown.items()} == {"truth": 255, "predicted": 1, "rank": -1, "score": 0.0}


def test_a_score_that_is_not_a_number_goes_last():
    found, _ = figures([[math.nan, 0.1, 0.2]], [0], 3)
    assert found["top1"] == 0.0


def test_random_against_numpy_and_independent_of_the_cut():
    rng = np.random.default_rng(0)
    scores, labels = rng.random((200, 7)).astype(np.float32), rng.integers(0, 7, 200)
    found, metric = figures(scores, labels, 7)
    order = np.argsort(-scores, 1)
    assert found["top1"] == np.mean(order[:, 0] == labels)
    assert found["top5"] == np.mean((order[:, :5] == labels[:, None]).any(1))
    assert np.isclose(found["mean_acc"], np.mean([(order[labels == k, 0] == k).mean() for k in range(7)]), rtol=1e-12)
    cut = ClassificationMetrics(spec(7))
    for record in measured(cut, scores, labels):
        cut.update([record])
    cut.update([])
    assert {name: float(value) for name, value in cut.compute().items()} == found
    assert torch.equal(cut.counted, metric.counted)


def test_nothing_labelled_is_nan():
    found, _ = figures([[0.5, 0.5]], [255], 2)
    assert all(math.isnan(value) for value in found.values())
