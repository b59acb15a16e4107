"""The paired bootstrap: exact weights, calibrated intervals, seeds as an axis."""

import numpy as np
import pytest

from segexp.functional.bootstrap import Resamples, holm, interval, sampled
from segexp.functional.weighted import pooled, ranked, total
from tests.benchmarks.bootstrap import called, covered, skill_of


def test_each_resample_draws_as_many_images_as_there_are_and_always_the_same_ones():
    resamples = Resamples(37, 500, seed=3)
    weights = Resamples(37, 500, seed=3).of(lambda w: w @ np.eye(37)[0])
    assert (resamples.of(lambda w: w.sum(1)) == 37).all()
    assert (resamples.of(lambda w: w @ np.eye(37)[0]) == weights).all()
    assert (Resamples(37, 500, seed=4).of(lambda w: w @ np.eye(37)[0]) != weights).any()


def test_weights_that_are_not_kept_are_drawn_the_same_again(monkeypatch):
    kept = Resamples(37, 500).of(lambda w: w[:, 5])
    monkeypatch.setattr("segexp.functional.bootstrap._KEPT", 0)
    monkeypatch.setattr("segexp.functional.bootstrap._CELLS", 37 * 64)
    resamples = Resamples(37, 500)
    again = resamples.of(lambda w: w[:, 5])
    assert resamples.of(lambda w: w[:, 5]).tolist() == again.tolist()
    assert kept.shape == again.shape


def test_sums_of_pixels_are_exact():
    counts = np.random.default_rng(0).integers(0, 2**40, 50)
    summed = Resamples(50, 200).of(total(counts.astype(float)))
    weights = Resamples(50, 200).of(lambda w: w)
    assert summed.astype(int).tolist() == (weights.astype(int) @ counts).tolist()


def test_an_interval_of_a_mean_is_that_of_the_textbook():
    values = np.random.default_rng(0).normal(10, 2, 400)
    resamples = Resamples(400, 10_000)
    found = interval(sampled([values.mean()], resamples.of(pooled(values, np.ones(400)))[None], 400))
    half = 1.966 * values.std(ddof=1) / 20  # Student's t with 399 degrees of freedom
    assert found.estimate == values.mean()
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_with_few_images_it_is_widened():
    def width(images):
        values = np.tile([-1.0, 1.0], images // 2)
        found = Resamples(images, 4000).of(pooled(values, np.ones(images)))
        one = interval(sampled([0.0], found[None], images))
        return (one.high - one.low) / 2 / np.quantile(np.abs(found), 0.95)

    assert width(10) > 1.15  # t of 9 degrees of freedom is 2.26 instead of 1.96, times sqrt(10 / 9)
    assert width(400) < 1.05


def test_one_image_says_nothing():
    found = interval(sampled([1.0], np.ones((1, 100)), 1))
    assert np.isnan(found.low)
    assert found.p == 1


def test_two_equal_runs_have_no_difference():
    one = sampled([0.5], 0.5 + np.random.default_rng(0).normal(0, 0.01, (1, 1000)), 100)
    assert interval(one, one) == (0.0, 0.0, 0.0, 1.0)


def test_a_figure_that_is_seldom_defined_has_no_interval():
    values = np.full((1, 100), np.nan)
    values[0, :40] = 1.0
    assert np.isnan(interval(sampled([1.0], values, 100)).low)
    values[0, :60] = 1.0
    assert interval(sampled([1.0], values, 100)).low == 1.0


def test_seeds_are_drawn_from_three_on():
    values = [0.0, 1.0, 2.0]
    still = np.repeat(np.array(values)[:, None], 10_000, 1)  # images change nothing
    assert (sampled(values[:2], still[:2], 100).by_seed == 0).all()
    three = sampled(values, still, 100, seed=1)
    assert three.by_seed.std() == pytest.approx(1 / np.sqrt(3), rel=0.05)  # sd of the seeds / sqrt(3)
    found = interval(three)
    assert (found.low, found.high) == pytest.approx((1 - 2.5, 1 + 2.5), rel=0.15)  # t of 2 degrees of freedom: 4.3 / sqrt(3)


def test_a_clear_difference_has_a_small_p_although_no_resample_is_beyond():
    rng = np.random.default_rng(0)
    one, other = (sampled([x], x + rng.normal(0, 0.01, (1, 1000)), 500) for x in (0.6, 0.5))
    assert 0 < interval(one, other).p < 1e-8


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.5]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_average_precision_of_equal_scores_is_taken_together():
    figure = ranked(np.array([[0.9], [0.5], [0.5], [np.nan]]), np.array([[True], [False], [True], [False]]))
    found = figure(np.array([[1.0, 1, 1, 1], [0, 1, 1, 2], [1, 3, 0, 0], [0, 1, 0, 0]]))
    assert found[:3].tolist() == pytest.approx([0.5 + 0.5 * 2 / 3, 0.5, 1.0])
    assert np.isnan(found[3])


@pytest.fixture(scope="module")
def skills():
    return skill_of(0.60), skill_of(0.63)


class TestCalibration:
    """A quick form of tests/benchmarks/bootstrap.py."""

    def test_equal_models_are_seldom_called_different(self, skills):
        assert called(100, (skills[0], skills[0]), times=150, count=500) <= 0.07

    def test_three_points_are_found(self, skills):
        assert called(100, skills, times=60, count=500) >= 0.90

    def test_with_20_images_equal_models_are_seldom_called_different(self, skills):
        assert called(20, (skills[0], skills[0]), times=150, count=500) <= 0.07

    def test_seeds_that_differ_are_not_taken_for_a_difference(self, skills):
        assert called(100, (skills[0], skills[0]), times=60, count=500, seeds=3, noise=0.05) <= 0.08

    def test_the_truth_is_covered(self, skills):
        assert covered(100, skills[0], times=100, count=500) >= 0.9
