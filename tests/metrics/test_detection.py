"""COCO's box AP: against pycocotools on many random data sets, by hand, over ranks and through text."""

import json

import numpy as np
import pytest
import torch

from segexp.metrics.coco_ap import STATES, best
from segexp.metrics.detection import DetectionMetrics, box_overlaps
from segexp.types import ClassInfo, DataSpec, Prediction, Targets
from tests.metrics.coco_official import NAMES, Side, figures, official, records

SPEC = DataSpec(tuple(ClassInfo(name, is_thing=True) for name in ("car", "cat", "cow")), frozenset({"boxes"}))
ALL = [*NAMES, *(f"map/{name}" for name in SPEC.names)]
AT_A_LIMIT = np.array([[32, 32], [96, 96], [16, 64], [8, 128], [48, 192]], np.float32)  # sides of boxes of 32^2 or 96^2 pixels
EMPTY = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)


def boxes_of(rng, count, whole):
    """xyxy: of whole pixels so that IoUs tie, or of any; some without area, some of an area at a limit."""
    corner, sides = rng.uniform(0, 200, (count, 2)), rng.uniform(0, 1, (count, 2)) ** 2 * 150
    found = np.concatenate([corner, corner + sides], 1).astype(np.float32)
    found = found.round() if whole else found
    at = rng.random(count) < 0.2
    found[at, 2:] = found[at, :2] + AT_A_LIMIT[rng.integers(0, len(AT_A_LIMIT), at.sum())]
    return found


def scene(rng, detections=None):
    """Truth with crowds, or none; detections near objects, of right and wrong class, or anywhere; few different scores."""
    whole, count = rng.random() < 0.5, int(rng.choice([0, 1, 3, 8]))
    real = Side(boxes_of(rng, count, whole), rng.integers(0, 3, count), rng.random(count) < 0.25)
    many = int(rng.choice([0, 1, 6, 14])) if detections is None else detections
    found, labels = boxes_of(rng, many, whole), rng.integers(0, 3, many)
    if count:
        near = rng.random(many) < 0.8
        source = rng.integers(0, count, near.sum())
        moved = rng.integers(-4, 5, (near.sum(), 4)) if whole else rng.normal(0, 4, (near.sum(), 4))
        found[near] = real.boxes[source] + moved * rng.integers(0, 2, (near.sum(), 1))
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2])
        labels[near] = np.where(rng.random(near.sum()) < 0.9, real.labels[source], labels[near])
    scores = (rng.integers(0, 6, many) / 6) if rng.random() < 0.7 else rng.random(many)
    return Side(found, labels, scores.astype(np.float32)), real


@pytest.mark.parametrize("block", range(6))
def test_random_data_sets_have_the_official_figures(block):
    for seed in range(60 * block, 60 * (block + 1)):
        rng = np.random.default_rng(seed)
        scenes = [scene(rng) for _ in range(int(rng.integers(1, 7)))]
        found = figures(DetectionMetrics(SPEC), scenes)
        assert set(found) == set(ALL)
        assert [found[name] for name in ALL] == pytest.approx(official(scenes, "bbox"), rel=0, abs=1e-9, nan_ok=True), seed


@pytest.mark.parametrize("seed", range(4))
def test_more_detections_than_count_have_the_official_figures(seed):
    rng = np.random.default_rng(1000 + seed)
    scenes = [scene(rng, detections=330 + seed) for _ in range(3)]
    part = DetectionMetrics(SPEC)
    kept = records(part, scenes[:1])[0]["labels"]
    assert torch.bincount(kept).tolist() == [min(100, int((scenes[0][0].labels == k).sum())) for k in range(3)]
    found = figures(part, scenes)
    assert [found[name] for name in ALL] == pytest.approx(official(scenes, "bbox"), rel=0, abs=1e-9, nan_ok=True)


def test_areas_are_those_of_masks_where_the_truth_has_them():
    rng = np.random.default_rng(5)
    scenes = []
    for _ in range(12):
        guess, real = scene(rng)
        masks = np.zeros((len(real.labels), 120, 150), dtype=bool)
        for mask in masks:
            mask[: rng.integers(1, 121), : rng.integers(1, 151)] = True
        scenes.append((guess, real._replace(masks=masks)))
    found, bare = (figures(DetectionMetrics(SPEC), s) for s in (scenes, [(g, r._replace(masks=None)) for g, r in scenes]))
    assert [found[name] for name in ALL] == pytest.approx(official(scenes, "bbox"), rel=0, abs=1e-9, nan_ok=True)
    assert found["map"] == bare["map"]
    assert found["mar_small"] != bare["mar_small"]


def test_what_is_kept_of_an_image_by_hand():
    guess = Side(np.array([[0, 0, 4, 4], [0, 0, 4, 3], [10, 10, 12, 12]], np.float32), np.array([1, 1, 0]), np.float32([0.25, 0.5, 0.75]))
    real = Side(np.array([[0, 0, 4, 4], [0, 0, 8, 8]], np.float32), np.array([1, 1]), np.array([False, True]))
    (found,) = records(DetectionMetrics(SPEC), [(guess, real)])
    assert (found["labels"].tolist(), found["scores"].tolist(), found["areas"].tolist()) == ([0, 1, 1], [0.75, 0.5, 0.25], [4, 12, 16])
    assert (found["objects"].tolist(), found["object_areas"].tolist()) == ([[1, 0], [1, 1]], [16, 64])
    assert (found["pairs"].tolist(), found["ious"].tolist()) == ([[1, 0], [1, 1], [2, 0], [2, 1]], [0.75, 1, 1, 1])


def test_by_hand_two_of_three_objects_and_a_wrong_detection_between():
    real = Side(np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], np.float32), np.zeros(3, np.int64), np.zeros(3, bool))
    guess = Side(
        np.array([[0, 0, 10, 10], [70, 0, 80, 10], [20, 0, 30, 10]], np.float32), np.zeros(3, np.int64), np.float32([0.9, 0.8, 0.7])
    )
    found = figures(DetectionMetrics(SPEC), [(guess, real)])
    # precision 1 up to a recall of 1/3 (34 of 101 recalls), 2/3 up to 2/3 (33 of them), 0 from there on
    assert [found[name] for name in ("map", "map50", "map/car")] == pytest.approx([(34 + 33 * 2 / 3) / 101] * 3)
    assert (found["mar1"], found["mar10"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert np.isnan([found["map/cat"], found["map_large"]]).all()


def test_an_equal_overlap_takes_the_later_object_and_a_crowd_comes_last():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 40, 40]], np.float32)
    real = Side(boxes, np.zeros(3, np.int64), np.array([False, False, True]))
    guess = Side(boxes[[0, 0, 0, 0]], np.zeros(4, np.int64), np.float32([0.9, 0.8, 0.7, 0.6]))
    assert figures(DetectionMetrics(SPEC), [(guess, real)])["map"] == 1  # the third and fourth lie in the crowd


def test_truth_as_prediction_is_1_and_the_order_of_batches_is_of_no_account():
    rng = np.random.default_rng(8)
    scenes = []
    for _ in range(10):
        _, real = scene(rng)
        there = (real.boxes[:, 2] > real.boxes[:, 0]) & (real.boxes[:, 3] > real.boxes[:, 1])
        real = Side(real.boxes[there], real.labels[there], np.zeros(there.sum(), bool))
        scenes.append((real._replace(flags=np.ones(len(real.labels), np.float32)), real))
    part = DetectionMetrics(SPEC)
    for one in records(part, scenes):
        part.update([one])
    found = {name: float(value) for name, value in part.compute().items()}
    assert found["map"] == found["map50"] == found["mar100"] == 1
    assert found == pytest.approx(figures(DetectionMetrics(SPEC), scenes), rel=0, abs=0, nan_ok=True)


def test_nothing_on_both_sides():
    nothing = Side(*EMPTY, np.zeros(0, np.float32)), Side(*EMPTY, np.zeros(0, bool))
    assert np.isnan(list(figures(DetectionMetrics(SPEC), [nothing]).values())).all()
    assert np.isnan(list(figures(DetectionMetrics(SPEC), []).values())).all()


def test_objects_that_nobody_finds_are_0_and_detections_without_truth_undefined():
    rng = np.random.default_rng(3)
    real = Side(np.array([[0, 0, 9, 9]], np.float32), np.array([0]), np.array([False]))
    guess = Side(boxes_of(rng, 4, True), np.full(4, 1), np.float32([1, 0.5, 0.5, 0.25]))
    found = figures(DetectionMetrics(SPEC), [(guess, real)])
    assert (found["map"], found["map/car"], found["mar100"]) == (0, 0, 0)
    assert np.isnan(found["map/cat"])


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_on_the_meta_device_it_names_its_figures():
    with torch.device("meta"):
        assert set(DetectionMetrics(SPEC).compute()) == set(ALL)


def test_a_truth_without_crowd_flags():
    box = torch.tensor([[0.0, 0.0, 3.0, 3.0]])
    guess = Prediction(boxes=box, labels=torch.tensor([2]), scores=torch.ones(1))
    found = DetectionMetrics(SPEC).measure(guess, Targets(boxes=box, labels=torch.tensor([2])))
    assert found["objects"].tolist() == [[2, 0]]


def test_figures_do_not_depend_on_ranks_and_begin_anew_after_a_reset():
    rng = np.random.default_rng(9)
    scenes = [scene(rng) for _ in range(19)]
    whole = DetectionMetrics(SPEC)
    wanted = figures(whole, scenes)
    ranks = [DetectionMetrics(SPEC) for _ in range(3)]
    for number, part in enumerate(ranks):
        part.update(records(part, scenes[number::3]))
    gathered = DetectionMetrics(SPEC)
    for name in STATES:  # as torchmetrics gathers lists
        setattr(gathered, name, torch.cat([x for part in ranks for x in getattr(part, name)]))
    gathered.update([])
    assert {name: float(v) for name, v in gathered.compute().items()} == pytest.approx(wanted, rel=0, abs=0, nan_ok=True)
    whole.reset()
    assert figures(whole, scenes) == pytest.approx(wanted, rel=0, abs=0, nan_ok=True)


def test_a_record_survives_its_line_of_text():
    rng = np.random.default_rng(10)
    part, scenes = DetectionMetrics(SPEC), [scene(rng) for _ in range(5)]
    lines = [json.dumps({name: x.tolist() for name, x in one.items()}) for one in records(part, scenes)]
    for line in lines:
        known = {name: STATES[name] for name in json.loads(line)}
        part.update([{n: torch.tensor(x, dtype=known[n][1]).reshape(-1, *known[n][0]) for n, x in json.loads(line).items()}])
    found = {name: float(value) for name, value in part.compute().items()}
    assert found == pytest.approx(figures(DetectionMetrics(SPEC), scenes), rel=0, abs=0, nan_ok=True)


def test_the_best_of_each_class():
    scores, labels = torch.tensor([0.1, 0.9, 0.5, 0.9, 0.5]), torch.tensor([0, 1, 1, 1, 0])
    assert best(scores, labels, 2).tolist() == [1, 3, 4, 0]
    assert best(scores, labels).tolist() == [1, 3, 2, 4, 0]
    assert best(scores[:0], labels[:0], 2).tolist() == []


def test_overlaps_of_boxes_are_those_of_pycocotools_to_the_last_digit():
    mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(11)
    guess, real, crowd = (boxes_of(rng, 40, False), boxes_of(rng, 30, False), rng.random(30) < 0.3)
    as_json = [np.concatenate([x[:, :2], x[:, 2:].astype(float) - x[:, :2]], 1) for x in (guess, real)]
    found = box_overlaps(*(torch.from_numpy(x).double() for x in (guess, real)), torch.from_numpy(crowd))
    assert (found.numpy() == mask.iou(*as_json, crowd.astype(int).tolist())).all()
