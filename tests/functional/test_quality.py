"""Panoptic quality of one image."""

import pytest

from segexp.functional.quality import mean_pq


def test_by_hand():
    # class 0: two matches, one wrong; class 1: one missed; class 2 isn't there
    assert mean_pq([[0, 8, 10], [0, 6, 10]], [1, 0, 0], [0, 1, 0]) == pytest.approx((1.4 / 2.5 + 0) / 2)


def test_nothing_has_no_quality():
    assert mean_pq([], [0, 0], [0, 0]) is None
