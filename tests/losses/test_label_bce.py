"""Binary cross-entropy of the classes that images show."""

import math

import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from segexp.errors import ConfigError
from segexp.losses.label_bce import LabelBCE
from segexp.types import Batch, ClassInfo, ClassLogits, DataSpec, Targets

SPEC = DataSpec(tuple(ClassInfo(f"c{i}") for i in range(3)), frozenset({"present"}))


def mean(loss, logits, shown):
    sizes = ((8, 8),) * len(shown)
    batch = Batch(torch.zeros(len(shown), 3, 8, 8), sizes, sizes, [Targets(present=x) for x in shown], [], ("a",) * len(shown))
    return loss(ClassLogits(logits), batch)["bce"] / loss.count(batch.targets)["bce"]


@pytest.mark.parametrize("pos_weight", [1.0, 2.5, [1.0, 2.0, 3.0]])
def test_sum_over_count_is_the_mean_of_torch(pos_weight):
    logits, shown = torch.randn(5, 3), (torch.rand(5, 3) > 0.5).float()
    wanted = F.binary_cross_entropy_with_logits(logits, shown, pos_weight=torch.tensor(pos_weight).expand(3))
    assert torch.allclose(mean(LabelBCE(SPEC, pos_weight=pos_weight), logits, shown), wanted, rtol=1e-6)


def test_focal_is_that_of_torchvision():
    logits, shown = torch.randn(5, 3), (torch.rand(5, 3) > 0.5).float()
    wanted = sigmoid_focal_loss(logits, shown, alpha=-1, gamma=2, reduction="mean")
    assert torch.allclose(mean(LabelBCE(SPEC, gamma=2), logits, shown), wanted, rtol=1e-5)


def test_by_hand():
    logits = torch.tensor([[0.0, math.log(3), 0.0]])  # probabilities 1/2, 3/4, 1/2
    found = mean(LabelBCE(SPEC, weight=3.0), logits, torch.tensor([[0.0, 1.0, 1.0]]))
    assert float(found) == pytest.approx(2 * math.log(2) + math.log(4 / 3))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pos_weight": [1.0, 2.0]}, r"loss.pos_weight=\[1.0, 2.0\]"),
        ({"pos_weight": 0}, "loss.pos_weight=0"),
        ({"gamma": -1}, "loss.gamma=-1"),
        ({"gamma": "abc"}, "loss.gamma=abc"),
        ({"weight": -1.0}, "loss.weight=-1.0"),
        ({"weight": math.nan}, "loss.weight=nan"),
    ],
)
def test_wrong_keys_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        LabelBCE(SPEC, **options)


def test_a_gradient_is_finite_where_nothing_is_left_to_learn():
    logits = torch.full((1, SPEC.num_classes), 40.0, requires_grad=True)
    mean(LabelBCE(SPEC, gamma=0.5), logits, torch.ones(1, SPEC.num_classes)).backward()
    assert bool(logits.grad.isfinite().all())
