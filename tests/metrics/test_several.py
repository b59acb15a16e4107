"""Several metrics on one prediction."""

import pytest
import torch

from segexp.errors import ConfigError
from segexp.metrics.semantic import SemanticMetrics
from segexp.metrics.several import Metrics
from segexp.types import ClassInfo, DataSpec, Prediction, Targets

SPEC = DataSpec((ClassInfo("a"), ClassInfo("b")), frozenset({"semantic"}))
PAIR = Prediction(semantic=torch.tensor([[0, 1]], dtype=torch.uint8)), Targets(semantic=torch.tensor([[0, 0]], dtype=torch.uint8))


def test_figures_are_those_of_the_parts():
    metrics = Metrics({"semantic": SemanticMetrics(SPEC)})
    record = metrics.measure(*PAIR)
    assert record["semantic"]["intersection"].tolist() == [1, 0]
    metrics.update([record, record])
    assert float(metrics.compute()["pixel_acc"]) == 0.5
    metrics.reset()
    metrics.update([])
    assert metrics.compute()["pixel_acc"].isnan()
    assert metrics.needs == {"semantic"}


def test_names_must_not_collide():
    metrics = Metrics({"one": SemanticMetrics(SPEC), "two": SemanticMetrics(SPEC)})
    metrics.update([metrics.measure(*PAIR)])
    with pytest.raises(ConfigError, match=r"two metrics give .*miou.*; metrics, two"):
        metrics.compute()
