"""Orders of samples: uniform ones as they have always been, weighted ones by their weights."""

import hashlib
from collections import Counter

import pytest
import torch

from segexp.functional.keys import generator
from segexp.functional.orders import Draw, TrainOrder, repeat_factors, weighted


def flat(order):
    return [draw for window in order for draw in window]


def test_uniform_orders_are_those_of_earlier_versions():
    orders = [TrainOrder(37, 2, 3, seed=5, rank=1, world=2), TrainOrder(1000, 8, 1, seed=0)]
    orders[0].set_epoch(4)
    text = repr([(draw.epoch, draw.index, draw.repeat) for order in orders for draw in flat(order)])
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "3e00fbab7c7bde49"


def test_an_order_goes_on_where_it_was_left():
    weights = torch.tensor([1.0, 2.0, 5.0] * 7, dtype=torch.float64)
    for kept in (None, weights):
        whole = list(TrainOrder(21, 2, 2, seed=0, weights=kept))
        rest = TrainOrder(21, 2, 2, seed=0, start=(0, 2), weights=kept)
        assert list(rest) == whole[2:]
        rest.set_epoch(1)
        assert len(list(rest)) == len(whole)


def test_a_weighted_epoch_is_as_long_and_the_same_on_all_ranks():
    weights = torch.rand(40, dtype=torch.float64, generator=generator("weights")) + 0.5
    whole = list(TrainOrder(40, 4, 1, seed=3, weights=weights))
    assert len(whole) == 10
    parts = [list(TrainOrder(40, 2, 1, seed=3, rank=r, world=2, weights=weights)) for r in range(2)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole
    order = TrainOrder(40, 4, 1, seed=3, weights=weights)
    order.set_epoch(1)
    assert list(order) != whole


def test_each_drawing_of_a_sample_in_an_epoch_has_its_number():
    weights = torch.tensor([1.0] * 9 + [9.0], dtype=torch.float64)
    drawn = flat(TrainOrder(10, 1, 1, seed=0, weights=weights))
    assert [draw.repeat for draw in drawn if draw.index == 9] == list(range(5))
    assert len(set(drawn)) == 10


def test_samples_are_drawn_by_their_weights():
    weights = torch.tensor([1.0, 1.0, 2.0, 4.0], dtype=torch.float64)
    counts = Counter()
    for epoch in range(400):
        drawn = Counter(weighted(weights, generator("weighted", epoch)).tolist())
        assert drawn[3] == 2  # 4 of 8 in 4 draws
        assert drawn[2] == 1
        counts += drawn
    assert counts[0] + counts[1] == 400
    assert abs(counts[0] - 200) < 40


@pytest.mark.parametrize("count", [1, 2, 1001])
def test_equal_weights_draw_each_sample_once(count):
    drawn = weighted(torch.full((count,), 3.3, dtype=torch.float64), generator("equal", count))
    assert sorted(drawn.tolist()) == list(range(count))


def test_repeat_factors_by_hand():
    pixels = torch.tensor([[9, 0, 0], [5, 1, 0], [7, 0, 0], [1, 3, 8], [0, 0, 0]])  # shares of the images: 4/5, 2/5, 1/5
    wanted = [(5 / 4) ** 0.5, (5 / 2) ** 0.5, (5 / 4) ** 0.5, 5**0.5, 1.0]
    assert repeat_factors(pixels).tolist() == pytest.approx(wanted)


def test_a_draw_without_a_number_is_the_first():
    assert Draw(2, 3) == Draw(2, 3, 0)
