"""Panoptic quality of a data set: the golden pair, random images, truth as prediction, and classes that are absent."""

import math

import numpy as np
import pytest
import torch

from segexp.metrics.panoptic import PanopticMetrics
from segexp.types import ClassInfo, DataSpec, Prediction, Targets
from tests.functional import panoptic_rules as rules
from tests.functional.test_panoptic import case, golden_pair, ruled

SPEC = DataSpec(
    (ClassInfo("sky"), ClassInfo("car", is_thing=True), ClassInfo("tree"), ClassInfo("cat", is_thing=True)), frozenset({"segments"})
)


def measured(metric, truth, predicted):
    wanted = Targets(segments=truth.ids, segment_labels=truth.labels, segment_crowd=truth.crowd)
    return metric.measure(Prediction(segments=predicted.ids, segment_labels=predicted.labels), wanted)


def figures(metric, records):
    metric.update(records)
    return {name: float(value) for name, value in metric.compute().items()}


def spec(things):
    return DataSpec(tuple(ClassInfo(str(i), is_thing=bool(t)) for i, t in enumerate(things)), frozenset({"segments"}))


def agrees(found, images, groups, prefix=""):
    for suffix, classes in groups.items():
        names = [f"{prefix}{name}{suffix}" for name in ("pq", "sq", "rq")]
        assert [found[name] for name in names] == pytest.approx(rules.quality(images, classes)[:3], rel=0, abs=1e-12, nan_ok=True)


def test_the_golden_pair_to_the_official_figures():
    truth, predicted, things = golden_pair()
    metric = PanopticMetrics(spec(things))
    found = figures(metric, [measured(metric, truth, predicted)])
    groups = {"": range(19), "_things": np.flatnonzero(things), "_stuff": np.flatnonzero(~things)}
    agrees(found, [ruled(truth, predicted)], groups)
    official = {"pq": 0.747634, "sq": 0.774237, "rq": 0.828571, "pq_things": 0.596534, "sq_things": 0.643089, "rq_things": 0.7}
    assert {name: found[name] for name in official} == pytest.approx(official, abs=6e-7)
    assert [found[f"{name}_stuff"] for name in ("pq", "sq", "rq")] == pytest.approx([0.949101, 0.949101, 1], abs=6e-7)
    assert sum(not math.isnan(found[f"pq/{i}"]) for i in range(19)) == 7


def test_a_data_set_of_random_images_has_the_figures_of_the_rules():
    rng = np.random.default_rng(3)
    for count in (1, 3, 40):
        pairs = [case(rng) for _ in range(count)]
        metric = PanopticMetrics(SPEC)
        found = figures(metric, [measured(metric, *pair) for pair in pairs])
        images = [ruled(*pair) for pair in pairs]
        agrees(found, images, {"": range(4), "_things": (1, 3), "_stuff": (0, 2)})
        assert [found[f"pq/{name}"] for name in SPEC.names] == pytest.approx(
            [rules.quality(images, [k])[0] for k in range(4)], rel=0, abs=1e-12, nan_ok=True
        )


def test_records_add_up_in_any_batches():
    rng = np.random.default_rng(4)
    metric = PanopticMetrics(SPEC)
    records = [measured(metric, *case(rng)) for _ in range(12)]
    whole = figures(metric, records)
    parts = PanopticMetrics(SPEC)
    for record in reversed(records):
        parts.update([record])
    assert {name: float(v) for name, v in parts.compute().items()} == pytest.approx(whole, rel=0, abs=1e-12, nan_ok=True)
    assert all(not values.is_floating_point() for record in records for values in record.values())


def test_truth_as_prediction_is_1():
    metric = PanopticMetrics(SPEC)
    assert perfect(metric) == {1.0}


def perfect(metric):
    """The figures that truth as prediction gives."""
    rng, tried = np.random.default_rng(5), 0
    for _ in range(60):
        truth, _ = case(rng)
        seen = [truth.labels[: i + 1].tolist().count(int(k)) for i, k in enumerate(truth.labels)]
        truth = truth._replace(crowd=truth.crowd & (torch.tensor(seen, dtype=torch.int64) == 1))  # the rules excuse one crowd a class
        metric.update([measured(metric, truth, truth)])
        tried += int((~truth.crowd).sum())
    found = {name: float(value) for name, value in metric.compute().items()}
    assert tried > 50
    return set(found.values())


def test_a_class_without_a_match_has_sq_0_and_an_absent_one_is_left_out():
    metric = PanopticMetrics(SPEC)
    record = {"matches": torch.tensor([[0, 3, 4]]), "wrong": torch.tensor([0, 1, 0, 0]), "missed": torch.tensor([1, 0, 0, 0])}
    found = figures(metric, [record])
    assert found["pq/sky"] == 0.75 / 1.5
    assert found["pq/car"] == 0
    assert math.isnan(found["pq/tree"])
    assert (found["pq"], found["sq"], found["rq"]) == (0.25, 0.375, (1 / 1.5) / 2)
    assert (found["pq_things"], found["sq_things"], found["sq_stuff"]) == (0, 0, 0.75)


def test_without_images_all_is_nan():
    assert all(math.isnan(value) for value in figures(PanopticMetrics(SPEC), []).values())


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_on_the_meta_device_it_names_its_figures():
    with torch.device("meta"):
        names = set(PanopticMetrics(SPEC).compute())
    shares = {f"{name}{group}" for name in ("pq", "sq", "rq") for group in ("", "_things", "_stuff")}
    assert names == shares | {"pq/sky", "pq/car", "pq/tree", "pq/cat"}
