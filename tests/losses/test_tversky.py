"""Tversky by hand, against its formula in float64, and its special cases."""

import pytest
import torch
from segmentation_models_pytorch.losses import TverskyLoss

from segexp.errors import ConfigError
from segexp.losses.dice import Dice
from segexp.losses.tversky import Tversky
from segexp.types import Targets
from tests.losses.semantic import agree, certain, example, found, reference, spec


def test_by_hand():
    labels, even = torch.tensor([[0, 0], [1, 255]]), torch.zeros(1, 2, 2, 2)
    # class 0: TP 1, FP 0.5, FN 1; class 1: TP 0.5, FP 1, FN 0.5
    indices = (1 / (1 + 0.5 * 0.2 + 0.8), 0.5 / (0.5 + 1 * 0.2 + 0.5 * 0.8))
    loss = Tversky(spec(2), alpha=0.2, beta=0.8, smooth=0)
    assert float(found(loss, even, [labels])[0]) == pytest.approx(1 - sum(indices) / 2)
    focal = Tversky(spec(2), alpha=0.2, beta=0.8, smooth=0, gamma=4 / 3, weight=3)
    assert float(found(focal, even, [labels])[0]) == pytest.approx(3 * sum((1 - x) ** 0.75 for x in indices) / 2)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 4 / 3])
@pytest.mark.parametrize("per", ["image", "class"])
def test_against_the_formula(gamma, per):
    logits, maps = example(4)
    maps[0][maps[0] == 3] = 2  # absent

    def slow(p, labels):
        values = []
        for k in labels.unique().tolist():
            g = (labels == k).double()
            tp, fp, fn = (p[k] * g).sum(), (p[k] * (1 - g)).sum(), ((1 - p[k]) * g).sum()
            values.append((1 - (tp + 1) / (tp + 0.4 * fp + 0.9 * fn + 1)) ** (1 / gamma))
        return sum(values) / (len(values) if per == "image" else 1)

    loss = Tversky(spec(4), alpha=0.4, beta=0.9, gamma=gamma, per=per)
    assert agree(found(loss, logits, maps), reference(slow, logits, maps))
    assert loss.count([Targets(semantic=m) for m in maps]) == {"tversky": 2 if per == "image" else 7}


def test_half_and_half_is_dice():
    logits, maps = example(3)
    half = Tversky(spec(3), alpha=0.5, beta=0.5, smooth=0.5)
    assert agree(found(half, logits, maps), found(Dice(spec(3), smooth=1.0), logits, maps))


def test_one_image_with_all_classes_is_what_segmentation_models_pytorch_gives():
    logits, maps = example(3, images=1)
    theirs = TverskyLoss("multiclass", smooth=1.0, ignore_index=255, alpha=0.3, beta=0.7)(logits, maps[0][None])
    assert float(found(Tversky(spec(3)), logits, maps)[0]) == pytest.approx(float(theirs), rel=1e-5)


def test_the_focal_form_has_a_gradient_where_all_is_right():
    maps = [torch.tensor([[0, 1], [1, 0]])]
    value, gradient = found(Tversky(spec(2), gamma=4 / 3), certain(maps, 2), maps)
    assert float(value) < 1e-4
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(("name", "value"), [("alpha", -0.1), ("beta", -1), ("gamma", 0)])
def test_what_is_refused(name, value):
    with pytest.raises(ConfigError, match=rf"{name} is above 0; loss.{name}={value}; fix: loss.alpha=0.3 loss.beta=0.7 loss.gamma=1"):
        Tversky(spec(2), **{name: value})
