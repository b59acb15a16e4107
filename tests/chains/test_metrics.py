"""The figures of the tiny chains: the truth as prediction scores 1, and small cases worked out by hand."""

import pytest
import torch

from segexp.targets import derive
from segexp.types import ClassInfo, DataSpec, Prediction, Targets
from tests.chains.batches import DATA, SPEC
from tests.chains.metrics import Accuracy, InstanceF1, PanopticQuality
from tests.chains.presets import CHAINS
from tests.chains.training import made

STREET = DataSpec((ClassInfo("road"), ClassInfo("car", True)), frozenset({"segments"}))


def as_prediction(truth):
    """The truth in a prediction's clothes: field by field, scores 1, and any class where nothing is labelled."""
    shared = {name: getattr(truth, name) for name in ("boxes", "masks", "labels", "segments", "segment_labels")}
    scores = {"scores": None if truth.labels is None else torch.ones(len(truth.labels))}
    if truth.label is not None:
        scores["label_scores"] = torch.eye(SPEC.num_classes)[truth.label]
    if truth.semantic is not None:
        scores["semantic"] = torch.where(truth.semantic == SPEC.ignore_index, 0, truth.semantic)
    return Prediction(**shared, **scores)


@pytest.mark.parametrize("name", CHAINS)
def test_the_truth_as_prediction_scores_one(name):
    metrics = made(name).metrics
    truths = [derive(DATA.open("val")[i], metrics.needs, SPEC) for i in range(5)]
    metrics.update([metrics.measure(as_prediction(t), t) for t in truths])
    values = torch.stack([value.double() for value in metrics.compute().values()])
    assert (values == 1).any() and (values[~values.isnan()] == 1).all()  # NaN: the IoU of a class that no picture holds


def test_records_are_whole_numbers_or_double_precision():
    for name in CHAINS:
        metrics = made(name).metrics
        truth = derive(DATA.open("val")[0], metrics.needs, SPEC)
        for record in metrics.measure(as_prediction(truth), truth).values():
            assert {value.dtype for value in record.values()} <= {torch.int64, torch.float64}


def test_top1_leaves_out_images_without_a_label():
    metric = Accuracy(SPEC)
    scores = torch.eye(SPEC.num_classes)
    pairs = [(2, 2), (2, 3), (0, SPEC.ignore_index)]
    metric.update([metric.measure(Prediction(label_scores=scores[p]), Targets(label=torch.tensor(t))) for p, t in pairs])
    assert metric.compute() == {"top1": torch.tensor(0.5)}


def test_box_f1_by_hand():
    truth = Targets(
        boxes=torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 80, 40]]),
        labels=torch.tensor([1, 1, 1]),
        crowd=torch.tensor([False, False, True]),
    )
    boxes = [[0.0, 0, 10, 8], [0, 0, 10, 9], [20, 0, 30, 10], [50, 10, 60, 20], [70, 30, 90, 50]]
    found = Prediction(boxes=torch.tensor(boxes), labels=torch.tensor([1, 1, 0, 1, 1]), scores=torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]))
    metric = InstanceF1(SPEC)
    record = metric.measure(found, truth)
    # the first takes object 0; the second comes too late; the third is of another class; the fourth lies in the crowd, the fifth a quarter
    assert {name: int(value) for name, value in record.items()} == {"matched": 1, "predicted": 4, "objects": 2}
    metric.update([record, record])
    assert metric.compute()["box_f1"] == pytest.approx(1 / 3)


def test_mask_f1_by_hand():
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, :2], masks[1, 2:] = True, True
    truth = Targets(masks=masks, labels=torch.tensor([1, 1]), crowd=torch.tensor([False, False]))
    found = masks.clone()
    found[0, 1, 2:] = False  # 6 of 8 pixels
    found[1, :2] = True  # 8 of 16: no match at exactly one half
    metric = InstanceF1(SPEC, kind="masks")
    metric.update([metric.measure(Prediction(masks=found, labels=truth.labels, scores=torch.ones(2)), truth)])
    assert metric.compute() == {"mask_f1": torch.tensor(0.5)}


def test_panoptic_quality_by_hand():
    truth = torch.zeros(4, 10, dtype=torch.int32)
    truth[:2], truth[2, :5], truth[2, 5:] = 1, 2, 3  # a road, a car, a crowd of cars; the last row is void
    found = truth.clone()
    found[0, :4] = 2  # the car also covers 4 pixels of the road
    found[3, :9] = 4  # a car in the void: not counted
    labels = torch.tensor([0, 1, 1])
    metric = PanopticQuality(STREET)
    record = metric.measure(
        Prediction(segments=found, segment_labels=torch.tensor([0, 1, 1, 1])),
        Targets(segments=truth, segment_labels=labels, segment_crowd=torch.tensor([False, False, True])),
    )
    assert record["iou"].tolist() == [16 / 20, 5 / 9]
    assert record["hits"].tolist() == [1, 1] and record["extra"].tolist() == [0, 0] and record["missed"].tolist() == [0, 0]
    metric.update([record])
    figures = metric.compute()
    assert float(figures["pq"]) == pytest.approx((16 / 20 + 5 / 9) / 2) and figures["rq"] == 1


def test_panoptic_quality_counts_what_is_missed_and_what_is_too_much():
    truth = torch.tensor([[1, 1, 1, 2]], dtype=torch.int32)
    found = torch.tensor([[1, 0, 0, 2]], dtype=torch.int32)
    labels = torch.tensor([0, 1])
    metric = PanopticQuality(STREET)
    metric.update(
        [
            metric.measure(
                Prediction(segments=found, segment_labels=labels),
                Targets(segments=truth, segment_labels=labels, segment_crowd=torch.tensor([False, False])),
            )
        ]
    )
    assert metric.compute() == {"pq": 0.5, "sq": 0.5, "rq": 0.5}
