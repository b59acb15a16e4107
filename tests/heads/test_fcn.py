"""The FCN head: shapes, width, refusals."""

import pytest
import torch

from segexp.errors import WiringError
from segexp.heads.fcn import FCNHead
from segexp.types import ClassInfo, DataSpec, Level

SPEC = {"c4": Level(12, 16), "c5": Level(20, 32)}
DATA = DataSpec((ClassInfo("a"), ClassInfo("b"), ClassInfo("c")), frozenset({"semantic"}))


def test_one_logit_per_class_at_the_stride_of_the_level():
    head = FCNHead(SPEC, DATA, level="c4")
    output = head({"c4": torch.randn(2, 12, 4, 5), "c5": torch.randn(2, 20, 2, 3)}, ((64, 80),) * 2)
    assert tuple(output.logits.shape) == (2, 3, 4, 5)
    assert output.stride == 16


@pytest.mark.parametrize(("width", "channels"), [(None, 5), (7, 7)])
def test_width(width, channels):
    assert FCNHead(SPEC, DATA, width=width).net[2].weight.shape == (3, channels, 1, 1)


def test_a_level_that_is_not_there():
    with pytest.raises(WiringError, match=r"FCNHead needs the level c3; it is given c4, c5"):
        FCNHead(SPEC, DATA, level="c3")
