"""Average precision of image labels against a literal loop, torchmetrics, and by hand."""

import math
import warnings

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multilabel_average_precision

from segexp.metrics.multi_label import MultiLabelMetrics, average_precision
from segexp.types import ClassInfo, DataSpec, Prediction, Targets

SPEC = DataSpec(tuple(ClassInfo(n) for n in "abc"), frozenset({"present"}))


def literal(scores, positive):
    """Precision and recall at each distinct score, from the highest."""
    total, before, found = sum(positive), 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        said = [p for s, p in zip(scores, positive, strict=True) if s >= threshold]
        recall = sum(said) / total
        found += (recall - before) * sum(said) / len(said)
        before = recall
    return found


def figures(scores, shown, cuts=1):
    metric = MultiLabelMetrics(SPEC)
    records = [
        metric.measure(Prediction(label_scores=torch.as_tensor(s)), Targets(present=torch.as_tensor(t)))
        for s, t in zip(scores, shown, strict=True)
    ]
    for part in np.array_split(np.arange(len(records)), cuts):
        metric.update([records[i] for i in part])
    return {name: float(value) for name, value in metric.compute().items()}


def test_by_hand():
    scores = [[0.9, 0.6, 0.1], [0.8, 0.5, 0.2], [0.7, 0.4, 0.3]]
    shown = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    found = figures(scores, shown)
    assert found["label_map/a"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["label_map/b"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert math.isnan(found["label_map/c"])
    assert found["label_map"] == pytest.approx((5 / 6 + 7 / 12) / 2)
    assert found["label_f1"] == pytest.approx((4 / 5 + 2 / 4) / 2)  # a: 2 hits of 3 said, 2 shown; b: 1 of 2 said, 2 shown; c: neither


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_is_that_of_a_literal_loop(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 40))
    scores = np.round(rng.random(count), int(rng.integers(1, 4))).astype(np.float32)  # many ties
    positive = rng.random(count) < 0.4
    positive[0] = True
    found = average_precision(torch.from_numpy(scores), torch.from_numpy(positive))
    assert float(found) == pytest.approx(literal(scores.tolist(), positive.tolist()), abs=1e-12)


def test_that_of_torchmetrics_and_independent_of_the_cut():
    rng = torch.Generator().manual_seed(0)
    scores, shown = torch.rand(100, 3, generator=rng), torch.rand(100, 3, generator=rng) < 0.3
    found = figures(scores, shown.float())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = multilabel_average_precision(scores, shown.int(), 3, average=None)
    assert np.allclose([found[f"label_map/{n}"] for n in "abc"], theirs.numpy(), atol=1e-6)
    assert figures(scores, shown.float(), cuts=7) == found


def test_truth_as_prediction_is_one_and_nothing_is_nan():
    shown = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    assert set(figures(shown, shown).values()) == {1.0}
    assert all(math.isnan(value) for value in {name: float(v) for name, v in MultiLabelMetrics(SPEC).compute().items()}.values())


def test_a_reset_forgets():
    metric = MultiLabelMetrics(SPEC)
    metric.update([metric.measure(Prediction(label_scores=torch.ones(3)), Targets(present=torch.ones(3)))])
    metric.compute()
    metric.reset()
    assert math.isnan(float(metric.compute()["label_map"]))
