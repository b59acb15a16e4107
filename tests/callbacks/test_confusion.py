"""confusion.json: of each split the latest matrix, a row a line."""

import json
from types import SimpleNamespace

import torch

from segexp.callbacks.confusion import ConfusionFile
from segexp.callbacks.evaluation import RunInfo
from segexp.metrics.boundary import BoundaryMetrics
from segexp.metrics.classification import ClassificationMetrics
from segexp.metrics.semantic import SemanticMetrics
from segexp.metrics.several import Metrics
from segexp.report.confusion import confusions
from segexp.report.record import RunRecord
from segexp.types import ClassInfo, DataSpec, Prediction, Targets

SPEC = DataSpec((ClassInfo("sky"), ClassInfo("straße")), frozenset({"semantic"}))


def evaluated(truth, predicted, **parts):
    """A task whose metrics have been computed."""
    metrics = Metrics(parts or {"semantic": SemanticMetrics(SPEC), "boundary": BoundaryMetrics(SPEC)})
    pair = (torch.tensor([x], dtype=torch.uint8) for x in (predicted, truth))
    metrics.update([metrics.measure(Prediction(semantic=next(pair)), Targets(semantic=next(pair)))])
    metrics.compute()
    return SimpleNamespace(metrics=metrics)


def test_the_latest_of_each_split_is_kept(tmp_path):
    callback, rank = ConfusionFile(RunInfo(tmp_path, None)), SimpleNamespace(is_global_zero=True)
    callback.on_validation_end(rank, evaluated([0, 0, 0], [0, 1, 1]))
    callback.on_test_end(rank, evaluated([1, 1, 255], [1, 0, 0]))
    callback.on_validation_end(rank, evaluated([0, 0, 1], [0, 1, 1]))
    text = (tmp_path / "confusion.json").read_text()
    classes = ["sky", "straße"]
    assert json.loads(text) == {
        "val": {"classes": classes, "counts": [[1, 1], [0, 1]]},
        "test": {"classes": classes, "counts": [[0, 0], [1, 1]]},
    }
    assert len(text.splitlines()) == 2 + 2 * 3


def test_one_rank_writes_and_other_metrics_have_none(tmp_path):
    callback = ConfusionFile(RunInfo(tmp_path, None))
    callback.on_test_end(SimpleNamespace(is_global_zero=False), evaluated([0], [0]))
    callback.on_test_end(SimpleNamespace(is_global_zero=True), evaluated([0], [0], boundary=BoundaryMetrics(SPEC)))
    assert not (tmp_path / "confusion.json").exists()


def test_images_of_a_classification_are_counted_as_such(tmp_path):
    metric = ClassificationMetrics(SPEC)
    metric.update([metric.measure(Prediction(label_scores=torch.tensor([0.3, 0.7])), Targets(label=torch.tensor(0)))])
    metric.compute()
    task = SimpleNamespace(metrics=Metrics({"classification": metric}))
    ConfusionFile(RunInfo(tmp_path, None)).on_test_end(SimpleNamespace(is_global_zero=True), task)
    assert json.loads((tmp_path / "confusion.json").read_text())["test"] == {
        "of": "images",
        "classes": ["sky", "straße"],
        "counts": [[0, 1], [0, 0]],
    }
    (matrix,) = confusions(RunRecord(tmp_path, confusion=json.loads((tmp_path / "confusion.json").read_text())))
    assert (matrix.unit, matrix.mistakes[0].count) == ("images", 1)
