"""The linear head, by hand."""

import pytest
import torch

from segexp.errors import WiringError
from segexp.heads.linear import LinearHead
from segexp.types import ClassInfo, DataSpec, Level

SPEC = DataSpec(tuple(ClassInfo(f"c{i}") for i in range(3)), frozenset({"label"}))
LEVELS = {"c4": Level(4, 16), "c5": Level(2, 32)}


def test_the_mean_of_the_valid_cells_is_classified():
    head = LinearHead(LEVELS, SPEC)
    maps = torch.randn(2, 2, 2, 3)
    found = head({"c5": maps}, ((64, 96), (33, 32))).logits
    by_hand = torch.stack([maps[0].mean((1, 2)), maps[1, :, :2, :1].mean((1, 2))])
    assert torch.allclose(found, by_hand @ head.classify.weight.T + head.classify.bias, atol=1e-6)
    assert found.shape == (2, 3)


def test_dropout_is_off_in_evaluation():
    head = LinearHead(LEVELS, SPEC, level="c4", dropout=0.5)
    features, sizes = {"c4": torch.randn(1, 4, 2, 2)}, ((32, 32),)
    head.eval()
    assert torch.equal(head(features, sizes).logits, head(features, sizes).logits)
    head.train()
    assert len({head(features, sizes).logits.sum().item() for _ in range(8)}) > 1


def test_a_level_that_is_not_there_is_named():
    with pytest.raises(WiringError, match=r"LinearHead needs the level c6; it is given c4, c5"):
        LinearHead(LEVELS, SPEC, level="c6")
