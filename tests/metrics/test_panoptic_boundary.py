"""Boundary panoptic quality by the rules written out, and by hand."""

import numpy as np
import torch

from segexp.functional.contours import band_width
from segexp.metrics.panoptic import PanopticMetrics
from segexp.types import Prediction, Targets
from tests.functional.test_panoptic import case, ruled
from tests.metrics.test_panoptic import SPEC, agrees, measured, perfect


def test_truth_as_prediction_is_1():
    assert perfect(PanopticMetrics(SPEC, dilation_ratio=0.02)) == {1.0}


def test_boundary_quality_is_that_of_the_rules():
    rng = np.random.default_rng(6)
    metric, images = PanopticMetrics(SPEC, dilation_ratio=0.05), []
    for _ in range(20):
        truth, predicted = (part._replace(ids=part.ids.repeat_interleave(4, 0).repeat_interleave(4, 1)) for part in case(rng))
        predicted = predicted._replace(ids=predicted.ids.roll(1, 1))
        metric.update([measured(metric, truth, predicted)])
        images.append(ruled(truth, predicted, band_width(tuple(truth.ids.shape), metric.dilation_ratio)))
    found = {name: float(value) for name, value in metric.compute().items()}
    agrees(found, images, {"": range(4), "_things": (1, 3), "_stuff": (0, 2)}, prefix="boundary_")
    assert 0 < found["boundary_pq"] < 1


def test_boundary_quality_of_a_shifted_square_by_hand():
    metric = PanopticMetrics(SPEC, dilation_ratio=0.05)
    ids = torch.ones(20, 20, dtype=torch.int32)
    ids[5:15, 5:15] = 2
    labels = torch.tensor([0, 1])
    truth = Targets(segments=ids, segment_labels=labels, segment_crowd=torch.zeros(2, dtype=torch.bool))
    record = metric.measure(Prediction(segments=ids.roll(1, 1), segment_labels=labels), truth)
    assert band_width((20, 20), metric.dilation_ratio) == 1
    # bands of one pixel. The square's: 36 pixels, shared are two sides of 9 of its rows' ends: 18 of 54. That of what is
    # around: 76 at the border and 44 around the square, of which the two rows of 12 share 11: 98 of 142
    assert record["matches"].tolist() == [[0, 98, 142]]
    assert record["wrong"].tolist() == record["missed"].tolist() == [0, 1, 0, 0]


def test_many_segments_have_bands_too():
    ids = torch.arange(1, 401, dtype=torch.int32).view(20, 20).repeat_interleave(3, 0).repeat_interleave(3, 1)
    labels = torch.ones(400, dtype=torch.int64)
    metric = PanopticMetrics(SPEC, dilation_ratio=0.02)
    truth = Targets(segments=ids, segment_labels=labels, segment_crowd=torch.zeros(400, dtype=torch.bool))
    record = metric.measure(Prediction(segments=ids, segment_labels=labels), truth)
    assert band_width((60, 60), metric.dilation_ratio) == 2  # more than the half of a segment of 3 pixels
    assert record["matches"].tolist() == [[1, 9, 9]] * 400
