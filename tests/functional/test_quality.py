"""Panoptic quality and F1 of one image, and which of them judges."""

import pytest

from segexp.functional.quality import CROWD, JUDGES, classes_f1, finds, image_quality, label_score, mean_pq, object_f1


def test_by_hand():
    # class 0: two matches, one wrong; class 1: one missed; class 2 isn't there
    assert mean_pq([[0, 8, 10], [0, 6, 10]], [1, 0, 0], [0, 1, 0]) == pytest.approx((1.4 / 2.5 + 0) / 2)


def test_nothing_has_no_quality():
    assert mean_pq([], [0, 0], [0, 0]) is None


def test_f1_of_objects_by_hand():
    scores, objects = [0.9, 0.8, 0.7, 0.6, 0.2], [[1, 0], [1, 0], [2, 0], [1, 1]]
    pairs, ious = [[0, 0], [0, 1], [1, 1], [2, 3], [4, 2]], [0.6, 0.7, 0.9, 1.0, 0.9]
    # the first takes object 1, the second finds it taken; the third lies in the crowd; the last is too uncertain
    assert object_f1(scores, objects, pairs, ious) == pytest.approx(2 * 1 / (3 + 3))
    assert finds(4, [False, False, False, True], pairs[:4], ious[:4]) == [1, None, CROWD, None]
    assert object_f1(scores, [], [], []) == 0
    assert object_f1([0.1], [[0, 1]], [[0, 0]], [1.0]) is None
    assert object_f1([0.5], [[0, 0]], [[0, 0]], [0.5]) == 1


def test_labels_of_whole_images():
    assert (label_score(3, 0.2), label_score(-1, 0.0)) == (0.2, None)
    assert classes_f1([0.5, 0.4, 0.9], [True, True, False]) == 0.5
    assert classes_f1([0.1, 0.2], [False, False]) is None


PIXELS = {"intersection": [5], "predicted": [10], "labelled": [5]}
OBJECTS = {"scores": [0.9, 0.8], "objects": [[1, 0]], "pairs": [[0, 0]], "ious": [1.0]}
RECORDS = {
    "panoptic": ({"matches": [[0, 3, 10]], "wrong": [0], "missed": [0]}, ("PQ", 0.3)),
    "instance": (OBJECTS, ("F1 of objects", 2 / 3)),
    "detection": (OBJECTS, ("F1 of objects", 2 / 3)),
    "semantic": (PIXELS, ("mIoU", 0.5)),
    "classification": ({"truth": 1, "predicted": 0, "rank": 1, "score": 0.25}, ("score of the true class", 0.25)),
    "multi_label": ({"scores": [0.9, 0.7], "shown": [True, False]}, ("F1 of classes", 2 / 3)),
}


@pytest.mark.parametrize("metric", RECORDS)
def test_every_metric_of_single_images_has_a_judge_with_a_name(metric):
    record, (called, value) = RECORDS[metric]
    assert image_quality({"mine": {}, metric: record}) == (called, pytest.approx(value))
    assert {judge.metric for judge in JUDGES} == RECORDS.keys()


def test_the_first_of_the_table_judges_whatever_the_order_of_the_record():
    everything = {metric: record for metric, (record, _) in reversed(RECORDS.items())}
    for metric, (_, (called, value)) in RECORDS.items():
        assert image_quality(everything) == (called, pytest.approx(value))
        del everything[metric]


@pytest.mark.parametrize(
    "strange",
    [
        {"panoptic": None},
        {"panoptic": {"matches": [[0, 1]], "wrong": [0], "missed": [0]}},
        {"panoptic": {"matches": [[9, 1, 2]], "wrong": [0], "missed": [0]}},
        {"detection": {"scores": 3}},
        {"detection": OBJECTS | {"pairs": [[0, 7]]}},
    ],
)
def test_a_strange_record_is_as_if_it_werent_there(strange):
    assert image_quality(strange | {"semantic": PIXELS}) == ("mIoU", 0.5)
    assert image_quality(strange) is None


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"semantic": 3},
        {"semantic": {"intersection": [1]}},
        {"semantic": {"intersection": [0], "predicted": [0], "labelled": [0]}},
        {"classification": {"rank": -1, "score": 0.0}},
        {"classification": {"rank": 1, "score": "much"}},
        {"multi_label": {"scores": [0.1], "shown": [False]}},
    ],
)
def test_nothing_to_judge(record):
    assert image_quality(record) is None


def test_the_judge_that_finds_nothing_leaves_no_word_to_the_next():
    nothing = {"panoptic": {"matches": [], "wrong": [0], "missed": [0]}}
    assert image_quality(nothing | {"semantic": PIXELS}) is None  # or pictures would be ranked by two figures
