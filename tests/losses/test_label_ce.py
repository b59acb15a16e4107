"""Cross-entropy of image labels against torch's, and by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from segexp.errors import ConfigError
from segexp.losses.label_ce import LabelCE
from segexp.types import Batch, ClassInfo, ClassLogits, DataSpec, Targets

SPEC = DataSpec(tuple(ClassInfo(f"c{i}") for i in range(3)), frozenset({"label"}))


def batch_of(labels):
    sizes = ((8, 8),) * len(labels)
    return Batch(
        torch.zeros(len(labels), 3, 8, 8), sizes, sizes, [Targets(label=torch.as_tensor(x)) for x in labels], [], ("a",) * len(labels)
    )


def mean(loss, logits, labels):
    batch = batch_of(labels)
    return loss(ClassLogits(logits), batch)["ce"] / loss.count(batch.targets)["ce"]


@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 1.0)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_sum_over_count_is_the_mean_of_torch(weights, smoothing):
    loss = LabelCE(SPEC, class_weights=weights, label_smoothing=smoothing)
    logits, labels = torch.randn(6, 3), [0, 2, 255, 1, 1, 255]
    weight = None if weights is None else torch.tensor(weights)
    wanted = F.cross_entropy(logits, torch.tensor(labels), weight=weight, ignore_index=255, label_smoothing=smoothing)
    assert torch.allclose(mean(loss, logits, labels), wanted, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_shares_give_what_torch_gives(smoothing):
    logits, shares = torch.randn(4, 3), torch.rand(4, 3).softmax(1)
    found = mean(LabelCE(SPEC, label_smoothing=smoothing), logits, list(shares))
    assert torch.allclose(found, F.cross_entropy(logits, shares, label_smoothing=smoothing), rtol=1e-5)


def test_by_hand():
    logits = torch.tensor([[0.0, math.log(2), 0.0]] * 3)  # probabilities 1/4, 1/2, 1/4
    loss, batch = LabelCE(SPEC, weight=3.0), batch_of([1, 0, 255])
    assert float(loss(ClassLogits(logits), batch)["ce"]) == pytest.approx(3 * (math.log(2) + math.log(4)))
    assert loss.count(batch.targets) == {"ce": 2.0}


def test_a_class_and_shares_stand_in_one_batch():
    shares = torch.tensor([0.25, 0.75, 0.0])
    loss, batch = LabelCE(SPEC, class_weights=[1.0, 2.0, 4.0]), batch_of([2, shares])
    logits = torch.zeros(2, 3)
    assert float(loss(ClassLogits(logits), batch)["ce"]) == pytest.approx((4 + 0.25 + 1.5) * math.log(3), rel=1e-6)
    assert loss.count(batch.targets) == {"ce": 5.75}


def test_images_without_a_class_give_no_gradient():
    logits = torch.randn(2, 3, requires_grad=True)
    loss, batch = LabelCE(SPEC, label_smoothing=0.1), batch_of([255, 255])
    total = loss(ClassLogits(logits), batch)["ce"]
    total.backward()
    assert float(total.detach()) == 0
    assert not logits.grad.any()
    assert loss.count(batch.targets) == {"ce": 0.0}


def test_wrong_keys_are_refused():
    with pytest.raises(ConfigError, match=r"2 class weights for 3 classes; loss.class_weights"):
        LabelCE(SPEC, class_weights=[1, 2])
    with pytest.raises(ConfigError, match=r"loss.weight=-1; fix: loss.weight=1"):
        LabelCE(SPEC, weight=-1)
    with pytest.raises(ConfigError, match=r"loss.label_smoothing=1.0; fix: loss.label_smoothing=0.1"):
        LabelCE(SPEC, label_smoothing=1.0)
