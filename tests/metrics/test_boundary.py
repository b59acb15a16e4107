"""Boundary IoU against the definition, class by class, and by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from segexp.functional.contours import band, band_width, sliding
from segexp.metrics.boundary import BoundaryMetrics
from segexp.types import ClassInfo, DataSpec, Prediction, Targets

VOID = 255


def spec(classes):
    return DataSpec(tuple(ClassInfo(f"c{i}") for i in range(classes)), frozenset({"semantic"}))


def scene(rng, size, classes, void=True):
    """Blobs of classes, as a label map has them; with a few void ones."""
    small = rng.integers(0, classes, (-(-size[0] // 7), -(-size[1] // 5)))
    labels = np.kron(small, np.ones((7, 5), dtype=small.dtype))[: size[0], : size[1]]
    blobs = np.kron(rng.random(small.shape) < 0.15, np.ones((7, 5)))[: size[0], : size[1]] > 0
    return np.where(blobs & void, VOID, labels).astype(np.uint8)


def literal_band(mask, void, distance):
    """The official `mask - erode(mask)` with zeros around the image; void erodes nothing."""
    square = np.ones((3, 3), dtype=bool)
    inside = np.pad(mask | void, 1)
    eroded = ndimage.binary_erosion(inside, square, iterations=distance, border_value=1)
    return mask & ~eroded[1:-1, 1:-1]


def literal_counts(predicted, truth, classes, distance):
    void, found = truth == VOID, {"intersection": [], "predicted": [], "labelled": []}
    for k in range(classes):
        guess, real = (literal_band((x == k) & ~void, void, distance) for x in (predicted, truth))
        for name, area in (("intersection", guess & real), ("predicted", guess), ("labelled", real)):
            found[name].append(int(area.sum()))
    return found


def measured(metric, predicted, truth):
    return metric.measure(Prediction(semantic=torch.from_numpy(predicted)), Targets(semantic=torch.from_numpy(truth)))


@pytest.mark.parametrize(("size", "classes", "ratio"), [((40, 61), 4, 0.02), ((33, 20), 3, 0.1), ((64, 50), 300, 0.05), ((9, 70), 2, 0.08)])
def test_counts_are_those_of_the_definition_class_by_class(size, classes, ratio):
    rng, metric = np.random.default_rng(0), BoundaryMetrics(spec(classes), dilation_ratio=ratio)
    kind = np.int64 if classes > 256 else np.uint8
    for _ in range(5):
        predicted, truth = scene(rng, size, min(classes, 250), void=False).astype(kind), scene(rng, size, min(classes, 250))
        predicted[: size[0] // 2] = np.where(truth == VOID, 0, truth)[: size[0] // 2]  # half of it is right
        found = {name: counts.tolist() for name, counts in measured(metric, predicted, truth).items()}
        distance = max(1, round(ratio * math.hypot(*size)))
        assert found == literal_counts(predicted, truth, classes, distance)


def test_what_is_predicted_where_nothing_is_labelled_is_not_read():
    rng, metric = np.random.default_rng(1), BoundaryMetrics(spec(3))
    predicted, truth = scene(rng, (40, 61), 3, void=False), scene(rng, (40, 61), 3)
    other = np.where(truth == VOID, (predicted + 1) % 3, predicted).astype(np.uint8)
    first, second = measured(metric, predicted, truth), measured(metric, other, truth)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_by_hand():
    metric = BoundaryMetrics(spec(3), dilation_ratio=0.1)  # of a diagonal of 10.8: 1 pixel
    truth = np.zeros((6, 9), dtype=np.uint8)
    truth[:, 6:] = 1
    shifted = np.zeros_like(truth)
    shifted[:, 5:] = 1
    assert band_width((6, 9), metric.dilation_ratio) == 1
    record = measured(metric, shifted, truth)
    # class 0, of 6 and 5 columns: border rows and columns, and the last column before the contour; class 1: 3 and 4 columns
    assert record["labelled"].tolist() == [36 - 4 * 4, 18 - 4 * 1, 0]
    assert record["predicted"].tolist() == [30 - 4 * 3, 24 - 4 * 2, 0]
    assert record["intersection"].tolist() == [14, 10, 0]
    metric.update([record, record])
    figures = {name: float(value) for name, value in metric.compute().items()}
    assert figures["boundary_iou/c0"] == 14 / (20 + 18 - 14)
    assert figures["boundary_iou/c1"] == 10 / (14 + 16 - 10)
    assert math.isnan(figures["boundary_iou/c2"])
    assert figures["boundary_iou"] == (figures["boundary_iou/c0"] + figures["boundary_iou/c1"]) / 2


def test_it_punishes_a_shifted_contour_more_than_iou_does():
    truth = np.zeros((100, 100), dtype=np.uint8)
    truth[20:80, 20:80] = 1
    metric = BoundaryMetrics(spec(2), dilation_ratio=0.02)
    metric.update([measured(metric, np.roll(truth, 3, axis=1), truth)])
    iou = 57 / 63
    assert float(metric.compute()["boundary_iou/c1"]) < 0.5 < iou


def test_nothing_labelled_is_nan():
    metric = BoundaryMetrics(spec(2))
    metric.update([measured(metric, np.zeros((8, 8), np.uint8), np.full((8, 8), VOID, np.uint8))])
    assert all(math.isnan(float(value)) for value in metric.compute().values())


@pytest.mark.parametrize("side", [1, 2, 3, 7, 8])
def test_sliding_is_the_minimum_of_every_square(side):
    x = torch.randint(0, 100, (8, 11), dtype=torch.uint8)
    wanted = x.unfold(0, side, 1).unfold(1, side, 1).flatten(2).amin(2)
    assert torch.equal(sliding(x, side, torch.minimum), wanted)


def test_an_image_smaller_than_the_square_is_all_band():
    assert torch.equal(band(torch.tensor([[0, 0, 2], [0, 1, 0]]), 2, 1), torch.tensor([[True, True, False], [True, True, True]]))
