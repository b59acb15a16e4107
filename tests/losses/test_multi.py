"""A loss for each of several heads: names, weights, counts."""

import pytest
import torch
from torch import nn

from segexp.errors import ConfigError
from segexp.losses.cross_entropy import CrossEntropy
from segexp.losses.multi import MultiLoss
from segexp.types import Batch, ClassInfo, DataSpec, SemanticLogits, Targets

DATA = DataSpec((ClassInfo("sky"), ClassInfo("car", True)), frozenset({"segments"}))


class Boxes(nn.Module):
    accepts = Batch  # any class
    needs = frozenset({"boxes"})
    needs_things = True

    def __init__(self, data, weight=1.0):
        super().__init__()
        if weight < 0:
            raise ConfigError("below 0", where=f"loss.weight={weight}", fix="loss.weight=1")
        self.weight = weight

    def forward(self, output, batch):
        return {"box": self.weight * output.sum()}

    def count(self, targets):
        return {"box": float(len(targets))}


def batch_of(target):
    return Batch(torch.zeros(1, 3, 2, 2), ((2, 2),), ((2, 2),), [target], [], ("a",))


def test_terms_counts_and_what_is_needed():
    loss = MultiLoss(DATA, parts={"semantic": CrossEntropy, "roi": Boxes}, weights={"semantic": 0.5})
    target = Targets(semantic=torch.tensor([[0, 1], [1, 255]]))
    logits = SemanticLogits(torch.zeros(1, 2, 2, 2), 1)
    sums = loss({"semantic": logits, "roi": torch.tensor([2.0, 3])}, batch_of(target))
    assert {name: float(value) for name, value in sums.items()} == pytest.approx({"semantic/ce": 1.5 * 0.6931472, "roi/box": 5})
    assert loss.count([target]) == {"semantic/ce": 3, "roi/box": 1}
    assert loss.accepts == {"semantic": SemanticLogits, "roi": Batch}
    assert (loss.needs, loss.needs_things) == ({"semantic", "boxes"}, True)
    assert not MultiLoss(DATA, parts={"semantic": CrossEntropy}).needs_things


@pytest.mark.parametrize(("options", "message"), [
    ({"parts": {}}, "it needs one part at least; loss.parts; fix: loss=semantic_roi has two"),
    ({"parts": {"roi": Boxes}, "weights": {"rio": 2}}, "a weight of no part; loss.weights.rio=2; fix: the parts are roi"),
    ({"parts": {"roi": Boxes}, "weights": {"roi": -2}}, "a number from 0 on is wanted; loss.weights.roi=-2; fix: loss.weights.roi=1"),
    ({"parts": {"roi": lambda data: Boxes(data, -1)}}, "below 0; loss.parts.roi.weight=-1; fix: loss.parts.roi.weight=1"),
])  # fmt: skip
def test_refusals(options, message):
    with pytest.raises(ConfigError) as error:
        MultiLoss(DATA, **options)
    assert message in str(error.value)
