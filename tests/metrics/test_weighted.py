"""Every metric's figures under weights are those of a data set in which each image occurs so often."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from segexp.metrics.boundary import BoundaryMetrics
from segexp.metrics.boundary_instance import BoundaryInstanceMetrics
from segexp.metrics.classification import ClassificationMetrics
from segexp.metrics.detection import DetectionMetrics
from segexp.metrics.instance import InstanceMetrics
from segexp.metrics.multi_label import MultiLabelMetrics
from segexp.metrics.panoptic import PanopticMetrics
from segexp.metrics.semantic import SemanticMetrics
from segexp.metrics.surface import SurfaceMetrics
from segexp.types import ClassInfo, DataSpec, Prediction, Targets

NAMES = ("sky", "car", "dog", "road", "tree", "bus", "never")
DATA = DataSpec(tuple(ClassInfo(name, name in ("car", "dog", "bus")) for name in NAMES), frozenset({"segments"}))
METRICS = [
    SemanticMetrics,
    BoundaryMetrics,
    SurfaceMetrics,
    PanopticMetrics,
    lambda data: PanopticMetrics(data, dilation_ratio=0.05),
    ClassificationMetrics,
    MultiLabelMetrics,
    DetectionMetrics,
    InstanceMetrics,
    BoundaryInstanceMetrics,
]


def blocks(rng, high):
    """A map of squares of numbers below `high`."""
    return torch.from_numpy(np.kron(rng.integers(0, high, (6, 6)), np.ones((20, 20), int)))


def sample(rng):
    """A prediction that is partly right, and the truth."""
    truth = blocks(rng, 6)
    guess = torch.where(torch.rand(truth.shape) < 0.03, 1, torch.where(blocks(rng, 3) > 0, truth, blocks(rng, 6)))
    segments, labels = blocks(rng, 8), torch.from_numpy(rng.integers(0, 6, 7))
    guessed = torch.where(blocks(rng, 4) > 0, segments, blocks(rng, 8))
    masks, found = (segments == torch.arange(1, 8)[:, None, None]), (guessed == torch.arange(1, 8)[:, None, None])
    kept = masks.flatten(1).any(1) & found.flatten(1).any(1)
    corners = torch.from_numpy(rng.uniform(0, 60, (7, 2)))
    boxes = torch.cat([corners, corners + torch.from_numpy(rng.uniform(5, 120, (7, 2)))], 1).float()
    scores = torch.from_numpy(rng.integers(1, 1000, 7) / 1000).float()
    crowd = torch.from_numpy(rng.random(7) < 0.1)
    real = Targets(
        label=torch.tensor(int(rng.choice([0, 1, 2, 3, 4, 5, 255]))),
        present=torch.from_numpy((rng.random(7) < 0.4) * (np.arange(7) < 6)).float(),
        semantic=torch.where(blocks(rng, 12) == 0, 255, truth),
        boxes=boxes[kept],
        labels=labels[kept],
        crowd=crowd[kept],
        masks=masks[kept],
        segments=segments.int(),
        segment_labels=labels,
        segment_crowd=crowd,
    )
    said = Prediction(
        label_scores=torch.from_numpy(rng.integers(0, 9, 7) / 8).float(),
        semantic=guess,
        boxes=(boxes + torch.from_numpy(rng.normal(0, 3, (7, 4))).float())[kept],
        masks=found[kept],
        labels=torch.where(torch.rand(7) < 0.8, labels, 1)[kept],
        scores=scores[kept],
        segments=guessed.int(),
        segment_labels=labels,
    )
    return said, real


def without_objects(said, real):
    """The same with no object found and none there."""
    none = {name: getattr(real, name)[:0] for name in ("boxes", "labels", "crowd", "masks")}
    return replace(said, **{name: getattr(said, name)[:0] for name in ("boxes", "labels", "scores", "masks")}), replace(real, **none)


@pytest.fixture(scope="module")
def samples():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    *others, last = (sample(rng) for _ in range(12))
    return [*others, without_objects(*last)]


def plain(record):
    return {name: values.tolist() for name, values in record.items()}


@pytest.mark.parametrize("make", METRICS)
def test_an_image_with_weight_n_counts_as_n_images(make, samples):
    metric = make(DATA)
    if isinstance(metric, SurfaceMetrics):
        pytest.importorskip("monai")
    records = [metric.measure(*pair) for pair in samples]
    weights = np.concatenate([np.ones((1, 12)), np.random.default_rng(1).multinomial(12, [1 / 12] * 12, size=6), np.eye(12)[:2]])
    for row in weights:
        metric.reset()
        metric.update([record for record, times in zip(records, row, strict=True) for _ in range(int(times))])
        for name, value in metric.compute().items():
            found = metric.weighted(name, [plain(record) for record in records])(row[None])
            assert found.shape == (1,), name
            np.testing.assert_allclose(found[0], value.item(), rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("make", METRICS)
def test_other_names_are_nobodys(make, samples):
    metric = make(DATA)
    records = [plain(metric.measure(*pair)) for pair in samples[:2]]
    assert [metric.weighted(name, records) for name in ("loss", "nothing", "iou/nobody", "map/")] == [None] * 4
