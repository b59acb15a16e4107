"""Panoptic quality and F1 of one image."""

import pytest

from segexp.functional.quality import CROWD, classes_f1, finds, label_score, mean_pq, object_f1


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
