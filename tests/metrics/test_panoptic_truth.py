"""The truth as prediction is perfect on every panoptic data set."""

import os
from pathlib import Path

import pytest
import torch

from segexp.build import open_dataset
from segexp.config import compose
from segexp.metrics.panoptic import PanopticMetrics
from segexp.targets import derive
from segexp.types import Prediction

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data"
SETS = {"coco": [], "nuclei": [], "cityscapes": ["data.annotation=panoptic", "data.root=${paths.data}/cityscapes_layout"]}


def perfect(dataset, count):
    metric, val = PanopticMetrics(dataset.spec), dataset.open("val")
    for i in range(min(count, len(val))):
        truth = derive(val[i], {"segments"}, dataset.spec)
        kept = ~truth.segment_crowd  # what may be predicted
        table = torch.zeros(len(kept) + 1, dtype=torch.int32)
        table[1:] = torch.where(kept, kept.cumsum(0), 0)
        predicted = Prediction(segments=table[truth.segments.long()], segment_labels=truth.segment_labels[kept])
        metric.update([metric.measure(predicted, truth)])
    return {name: float(value) for name, value in metric.compute().items() if name in ("pq", "sq", "rq")}


def test_scenes():
    assert perfect(open_dataset(compose("train", ["data=shapes"])), 8) == {"pq": 1.0, "sq": 1.0, "rq": 1.0}


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared)")
@pytest.mark.parametrize("name", SETS)
def test_real_sets(name):
    config = compose("train", [f"data={name}", f"paths.data={SHARED}", *SETS[name]])
    assert perfect(open_dataset(config), 10) == {"pq": 1.0, "sq": 1.0, "rq": 1.0}
