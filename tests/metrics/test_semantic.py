"""IoU and accuracies, by hand and against counting with numpy."""

import math

import numpy as np
import torch

from segexp.metrics.semantic import SemanticMetrics
from segexp.types import ClassInfo, DataSpec, Prediction, Targets

SPEC = DataSpec(tuple(ClassInfo(n) for n in ("a", "b", "c", "d")), frozenset({"semantic"}))


def pair(predicted, truth):
    return Prediction(semantic=torch.tensor(predicted, dtype=torch.uint8)), Targets(semantic=torch.tensor(truth, dtype=torch.uint8))


def figures(*pairs):
    metric = SemanticMetrics(SPEC)
    metric.update([metric.measure(*p) for p in pairs])
    return {name: float(value) for name, value in metric.compute().items()}


def test_by_hand_with_ignored_pixels_absent_and_invented_classes():
    found = figures(pair([[0, 0, 1, 2]], [[0, 1, 1, 255]]), pair([[0, 2]], [[0, 0]]))
    # a: hit 2, predicted 3, labelled 3 -> 2/4; b: 1, 1, 2 -> 1/2; c: only predicted (once outside void) -> 0; d: absent
    assert found["iou/a"] == 0.5
    assert found["iou/b"] == 0.5
    assert found["iou/c"] == 0.0
    assert math.isnan(found["iou/d"])
    assert found["miou"] == (0.5 + 0.5 + 0) / 3
    assert found["pixel_acc"] == 3 / 5
    assert found["mean_acc"] == (2 / 3 + 1 / 2) / 2


def test_pooled_over_the_set_not_a_mean_over_images():
    found = figures(pair([[0] * 9 + [1]], [[0] * 10]), pair([[1]], [[1]]))
    assert found["iou/a"] == 0.9
    assert found["iou/b"] == 0.5


def test_truth_as_prediction_is_one_and_nothing_labelled_is_nan():
    assert figures(pair([[0, 1, 2, 3]], [[0, 1, 2, 3]]))["miou"] == 1.0
    empty = figures(pair([[0, 1]], [[255, 255]]))
    assert all(math.isnan(value) for value in empty.values())


def test_random_against_numpy_and_independent_of_the_cut():
    rng = np.random.default_rng(0)
    maps = [(rng.integers(0, 4, (9, 7)), np.where(rng.random((9, 7)) < 0.2, 255, rng.integers(0, 4, (9, 7)))) for _ in range(12)]
    found = figures(*(pair(p.tolist(), t.tolist()) for p, t in maps))
    p, t = (np.concatenate([m[i].ravel() for m in maps]) for i in (0, 1))
    p, t = p[t != 255], t[t != 255]
    ious = [((p == k) & (t == k)).sum() / ((p == k) | (t == k)).sum() for k in range(4)]
    assert np.isclose(found["miou"], np.mean(ious), rtol=1e-12)
    metric = SemanticMetrics(SPEC)
    for one in maps:
        metric.update([metric.measure(*pair(one[0].tolist(), one[1].tolist()))])
    assert float(metric.compute()["miou"]) == found["miou"]


def test_the_records_sum_to_the_figures():
    pairs = [pair([[0, 1, 1]], [[0, 1, 2]]), pair([[3]], [[255]])]
    metric = SemanticMetrics(SPEC)
    records = [metric.measure(*p) for p in pairs]
    total = {name: sum(r[name] for r in records) for name in ("intersection", "predicted", "labelled")}
    assert total["intersection"].tolist() == [1, 1, 0, 0]
    assert total["predicted"].tolist() == [1, 2, 0, 0]
    assert total["labelled"].tolist() == [1, 1, 1, 0]
    assert [r["mistakes"].tolist() for r in records] == [[[2, 1, 1]], []]


def test_the_confusion_matrix_is_exact_and_follows_from_the_records():
    rng, metric = np.random.default_rng(1), SemanticMetrics(SPEC)
    wanted = np.zeros((4, 4), dtype=int)
    for _ in range(3):
        predicted, truth = rng.integers(0, 4, (2, 9, 7))
        truth[rng.random(truth.shape) < 0.2] = 255
        np.add.at(wanted, (truth[truth != 255], predicted[truth != 255]), 1)
        record = metric.measure(*pair(predicted.tolist(), truth.tolist()))
        assert all(counts.dtype == torch.int64 for counts in record.values())
        matrix = torch.diag(record["intersection"]).index_put(tuple(record["mistakes"][:, :2].T), record["mistakes"][:, 2])
        assert torch.equal(matrix.sum(0), record["predicted"])
        metric.update([record])
    metric.compute()
    assert metric.counted.tolist() == wanted.tolist()


def test_dice_by_hand():
    found = figures(pair([[0, 0, 1, 2]], [[0, 1, 1, 255]]), pair([[0, 2]], [[0, 0]]))
    assert found["dice"] == (2 * 2 / 6 + 2 * 1 / 3 + 0) / 3
