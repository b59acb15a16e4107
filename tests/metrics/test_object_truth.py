"""The truth as prediction is perfect on every data set with objects: boxes, masks and their contours."""

import os
from pathlib import Path

import pytest
import torch

from segexp.build import open_dataset
from segexp.config import compose
from segexp.functional.average_precision import LIMITS
from segexp.metrics.boundary_instance import BoundaryInstanceMetrics
from segexp.metrics.detection import DetectionMetrics
from segexp.metrics.instance import InstanceMetrics
from segexp.targets import derive
from segexp.types import Prediction

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data"
METRICS = {"boxes": [DetectionMetrics], "masks": [DetectionMetrics, InstanceMetrics, BoundaryInstanceMetrics]}
FIGURES = ("map", "map50", "map75", "mar100")
SETS = {
    "coco": (["data=coco"], "masks"),
    "coco_instances": (["data=coco", "data.annotation=instances"], "masks"),
    "nuclei": (["data=nuclei"], "masks"),
    "bccd": (["data=bccd"], "boxes"),
}


def perfect(dataset, count, kind):
    """The figures of the first images that hold no more objects of a class than count."""
    parts, val, left = [metric(dataset.spec) for metric in METRICS[kind]], dataset.open("val"), count
    for i in range(len(val)):
        truth = derive(val[i], {"boxes", kind}, dataset.spec)
        crowd = torch.zeros_like(truth.labels, dtype=torch.bool) if truth.crowd is None else truth.crowd
        if len(truth.labels) and int(torch.bincount(truth.labels).max()) > LIMITS[-1]:
            continue  # of 120 cells at most 100 are found, by COCO's rules
        masks = None if truth.masks is None else truth.masks[~crowd]
        labels = truth.labels[~crowd]
        prediction = Prediction(boxes=truth.boxes[~crowd], masks=masks, labels=labels, scores=torch.ones(len(labels)))
        for part in parts:
            part.update([part.measure(prediction, truth)])
        left -= 1
        if not left:
            break
    return {f"{part.prefix}{name}": float(part.compute()[f"{part.prefix}{name}"]) for part in parts for name in FIGURES}


def ones(kind):
    return {f"{part.prefix}{name}": 1.0 for part in METRICS[kind] for name in FIGURES}


def test_scenes():
    assert perfect(open_dataset(compose("train", ["data=shapes"])), 8, "masks") == ones("masks")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared)")
@pytest.mark.parametrize("name", SETS)
def test_real_sets(name):
    if name == "coco_instances":
        pytest.importorskip("faster_coco_eval")
    overrides, kind = SETS[name]
    assert perfect(open_dataset(compose("train", [*overrides, f"paths.data={SHARED}"])), 20, kind) == ones(kind)
