"""Focal loss by hand, against its formula in float64, and cross-entropy as its special case."""

import math

import pytest
import torch

from segexp.errors import ConfigError
from segexp.losses.cross_entropy import CrossEntropy
from segexp.losses.focal import Focal
from segexp.types import Targets
from tests.losses.semantic import agree, certain, example, found, reference, spec


def test_by_hand():
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 1] = math.log(2)  # probabilities 1/4, 1/2, 1/4
    labels = torch.tensor([[1, 255], [0, 1]])
    wanted = 2 * 0.5**2 * math.log(2) + 0.75**2 * math.log(4)
    assert float(found(Focal(spec(3)), logits, [labels])[0]) == pytest.approx(wanted)
    weighted = Focal(spec(3), class_weights=[3, 0.5, 1], weight=2)
    wanted = 2 * (0.5 * 2 * 0.5**2 * math.log(2) + 3 * 0.75**2 * math.log(4))
    assert float(found(weighted, logits, [labels])[0]) == pytest.approx(wanted)
    assert weighted.count([Targets(semantic=labels)]) == {"focal": 3}


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 1.0, 0.1)])
def test_against_the_formula(gamma, weights):
    logits, maps = example(4)

    def slow(p, labels):
        right = p.gather(0, labels[None])[0]
        alpha = torch.tensor(weights or [1.0] * 4, dtype=torch.float64)[labels]
        return (-alpha * (1 - right) ** gamma * right.log()).sum()

    loss = Focal(spec(4), gamma=gamma, class_weights=weights)
    assert agree(found(loss, logits * 3, maps), reference(slow, logits * 3, maps))


def test_without_focus_it_is_cross_entropy():
    logits, maps = example(3)
    assert agree(found(Focal(spec(3), gamma=0), logits, maps), found(CrossEntropy(spec(3)), logits, maps))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_certainty_that_is_right_costs_nothing(gamma):
    maps = [torch.tensor([[0, 1], [1, 0]])]
    value, gradient = found(Focal(spec(2), gamma=gamma), certain(maps, 2), maps)
    assert float(value) == 0
    assert torch.isfinite(gradient).all()


def test_what_is_refused():
    with pytest.raises(ConfigError, match=r"gamma is at least 0; loss.gamma=-1; fix: loss.gamma=2"):
        Focal(spec(2), gamma=-1)
    with pytest.raises(ConfigError, match=r"2 class weights for 3 classes; loss.class_weights; fix: give one for each of c0, c1, c2"):
        Focal(spec(3), class_weights=[1, 2])
