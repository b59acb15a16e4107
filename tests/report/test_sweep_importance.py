"""Shares of variance and Pareto fronts, worked out by hand."""

import random

import pytest

from segexp.report.importance import front, importance


def crossed(effects):
    return [({"a": a, "b": b}, effects(a, b)) for a in (0, 1) for b in (0, 1) for _ in range(3)]


def shares(rows):
    return {one.key: one.share for one in importance([keys for keys, _ in rows], [value for _, value in rows])}


def test_a_key_that_explains_all_and_one_that_explains_nothing():
    assert shares(crossed(lambda a, b: float(a))) == {"a": 1.0, "b": 0.0}


def test_two_keys_share_what_each_does():
    found = shares(crossed(lambda a, b: 3.0 * a + b))
    # 12 values, squares of 3 and of 1 in all: 9 / 10 of the variance between the values of a; 1 - (1 / 10 * 11 / 10)
    assert found == pytest.approx({"a": 1 - 0.1 * 11 / 10, "b": 1 - 0.9 * 11 / 10})


def test_the_largest_comes_first_and_a_joint_effect_is_not_seen():
    found = importance(*zip(*crossed(lambda a, b: 3.0 * b + a), strict=True))
    assert [one.key for one in found] == ["b", "a"]
    assert set(shares(crossed(lambda a, b: float(a != b))).values()) == {0.0}


def test_noise_explains_nothing_on_average():
    draw = random.Random(0)
    found = [shares([({"a": i % 4}, draw.gauss(0, 1)) for i in range(40)])["a"] for _ in range(60)]
    assert sum(found) / len(found) < 0.06


def test_a_continuous_key_is_binned():
    draw = random.Random(1)
    rows = [({"lr": x, "other": draw.random()}, x**2) for x in (draw.random() for _ in range(120))]
    (lr, other) = importance([keys for keys, _ in rows], [value for _, value in rows])
    assert (lr.key, lr.groups) == ("lr", 6)
    assert lr.share > 0.9 > 0.2 > other.share


def test_absent_values_lists_and_too_few_runs():
    rows = [({"a": 1}, 0.0), ({}, 1.0), ({"a": 1}, 0.0), ({}, 1.0)]
    assert shares(rows) == {"a": 1.0}
    assert shares([({"a": [1, 2]}, 0.0), ({"a": [1]}, 1.0), ({"a": [1, 2]}, 0.0)])["a"] == 1.0
    assert importance([{"a": 1}, {"a": 2}], [0.0, 1.0]) == []
    assert importance([{"a": 1}, {"a": 2}], [1.0, 1.0]) == []
    assert importance([], []) == []


def test_the_front():
    assert front([1, 2, 3, 4], [0.5, 0.4, 0.7, 0.6]) == [True, False, True, False]
    assert front([1, 2, 3, 4], [0.5, 0.4, 0.7, 0.6], higher_is_better=False) == [True, True, False, False]
    assert front([2, 2, 2], [0.5, 0.6, 0.6]) == [False, True, True]
    assert front([None, 2, 1], [0.9, 0.5, 0.5]) == [False, False, True]
    assert front([], []) == []
