"""Boundary loss: distances by hand and against the paper's definition, and its value."""

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from segexp.losses.boundary import Boundary, signed_distances
from segexp.types import Targets
from tests.losses.semantic import certain, example, found, spec


def test_distances_by_hand():
    out = signed_distances(np.array([[0, 0, 0, 1, 1, 255]]), 3, 255)
    assert out.tolist() == [[[-2, -1, 0, 1, 2, 0]], [[3, 2, 1, 0, -1, 0]], [[0, 0, 0, 0, 0, 0]]]


def test_a_diagonal_is_measured_straight():
    labels = np.zeros((4, 5), np.int64)
    labels[0, 0] = 1
    assert signed_distances(labels, 2, 255)[1, 3, 4] == pytest.approx(5)


def test_distances_are_those_of_the_paper():
    labels = np.random.default_rng(0).integers(0, 3, (6, 7)).repeat(4, 0).repeat(3, 1)
    out = signed_distances(labels, 3, 255)
    for k in range(3):
        inside = labels == k
        outer, inner = distance_transform_edt(~inside), distance_transform_edt(inside)
        assert np.allclose(out[k], outer * ~inside - (inner - 1) * inside, atol=1e-5)


def test_pixels_without_a_label_are_of_no_class():
    labels = np.array([[0, 255, 255, 255, 1]])
    assert signed_distances(labels, 2, 255)[:, 0].tolist() == [[-3, 0, 0, 0, 4], [4, 0, 0, 0, -3]]


@pytest.mark.parametrize("labels", [np.zeros((3, 4), np.int64), np.full((3, 4), 255), np.array([[1, 255, 1]])])
def test_a_class_alone_has_no_boundary(labels):
    assert not signed_distances(labels, 2, 255).any()


def test_by_hand():
    labels, even = torch.tensor([[0, 0, 1, 255]]), torch.zeros(1, 2, 1, 4)
    # class 0: -1 0 1; class 1: 2 1 0; every probability 1/2
    loss = Boundary(spec(2), weight=2)
    assert float(found(loss, even, [labels])[0]) == pytest.approx(2 * 0.5 * (-1 + 0 + 1 + 2 + 1 + 0))
    assert loss.count([Targets(semantic=labels)]) == {"boundary": 3}


def test_the_truth_is_the_smallest_value():
    logits, maps = example(3, void=False)
    best = found(Boundary(spec(3)), certain(maps, 3), maps)[0]
    assert best < found(Boundary(spec(3)), logits, maps)[0] < found(Boundary(spec(3)), certain([(m + 1) % 3 for m in maps], 3), maps)[0]


def test_the_gradient_lowers_what_lies_far_outside():
    labels = torch.zeros(1, 12, dtype=torch.int64)
    labels[:, 9:] = 1
    gradient = found(Boundary(spec(2)), torch.zeros(1, 2, 1, 12), [labels])[1][0, 1, 0]
    assert gradient[0] > gradient[8] > 0 > gradient[11]
