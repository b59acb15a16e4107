"""Distances between outlines: by hand, against brute force, and what is counted where a class is missing."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from segexp.errors import ConfigError
from segexp.metrics.surface import SurfaceMetrics
from segexp.types import ClassInfo, DataSpec, Prediction, Targets

SPEC = DataSpec((ClassInfo("rest"), ClassInfo("cell"), ClassInfo("nerve")), frozenset({"semantic"}))
VOID = 255


def test_without_monai_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("segexp.metrics.surface.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"metrics=\[surface\] needs MONAI; metrics; fix: pip install 'segexp\[medical\]'"):
        SurfaceMetrics(SPEC)


def record(predicted, truth):
    pytest.importorskip("monai")
    metric = SurfaceMetrics(SPEC)
    return metric.measure(Prediction(semantic=torch.as_tensor(predicted)), Targets(semantic=torch.as_tensor(truth)))


def figures(*pairs):
    pytest.importorskip("monai")
    metric = SurfaceMetrics(SPEC)
    metric.update([record(*pair) for pair in pairs])
    return {name: float(value) for name, value in metric.compute().items()}


def square(left, label=1, size=(24, 40)):
    labels = np.zeros(size, dtype=np.uint8)
    labels[6:16, left : left + 10] = label
    return labels


def brute(predicted, truth, k):
    """All distances from outline to outline in both directions."""
    outlines = [mask & ~ndimage.binary_erosion(mask) for mask in (predicted == k, truth == k)]
    points = [np.argwhere(outline) for outline in outlines]
    apart = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
    return apart.min(1), apart.min(0)


def test_the_definition_by_brute_force():
    predicted, truth = square(8), square(12)
    found = figures((predicted, truth))
    there, back = brute(predicted, truth, 1)
    assert found["hd95/cell"] == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-5)
    assert found["hd95/cell"] == pytest.approx(4)
    assert found["assd/cell"] == pytest.approx((there.sum() + back.sum()) / (len(there) + len(back)), abs=1e-5)


def test_equal_maps_have_no_distance_and_the_mean_is_over_images_that_have_both():
    found = figures((square(8), square(8)), (square(8), square(12)), (square(8), square(8, label=0)))
    assert found["hd95/cell"] == pytest.approx(2)
    assert math.isnan(found["hd95/nerve"])
    assert found["surface_missing/cell"] == found["surface_missing"] == 1
    assert found["hd95"] == pytest.approx((found["hd95/cell"] + found["hd95/rest"]) / 2)


def test_what_is_predicted_where_nothing_is_labelled_is_not_read():
    truth = square(12)
    truth[:, 30:] = VOID
    stray = square(12)
    stray[:, 32:] = 2
    found = record(stray, truth)
    assert found["missing"].tolist() == [0, 0, 0]
    assert found["hd95"].tolist() == [0, 0, 0]


def test_an_image_without_labels_counts_nothing():
    found = record(square(3), np.full((24, 40), VOID, np.uint8))
    assert all(values.sum() == 0 for values in found.values())
