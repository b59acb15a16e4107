"""DeepLabv2's classifier."""

import pytest
import torch

from segexp.errors import ConfigError
from segexp.heads.aspp_sum import AsppSum
from segexp.types import ClassInfo, DataSpec, Level

SPEC = {"c5": Level(16, 8)}
DATA = DataSpec(tuple(ClassInfo(str(i)) for i in range(5)), frozenset({"semantic"}))


def test_logits_are_the_sum_of_branches():
    head = AsppSum(SPEC, DATA)
    x = torch.randn(2, 16, 9, 11)
    output = head({"c5": x}, ((72, 88),) * 2)
    assert (output.logits.shape, output.stride) == ((2, 5, 9, 11), 8)
    torch.testing.assert_close(output.logits, sum(branch(x) for branch in head.branches))


@pytest.mark.parametrize(("stride", "rates"), [(8, (6, 12, 18, 24)), (16, (3, 6, 9, 12)), (32, (2, 3, 4, 6))])
def test_rates_follow_the_stride(stride, rates):
    head = AsppSum({"c5": Level(16, stride)}, DATA)
    assert tuple(branch.dilation[0] for branch in head.branches) == rates
    assert tuple(b.dilation[0] for b in AsppSum({"c5": Level(16, stride)}, DATA, rates=[2, 4]).branches) == (2, 4)


def test_the_form_of_vgg():
    head = AsppSum(SPEC, DATA, hidden=8)
    shapes = [tuple(p.shape) for name, p in head.branches[0].named_parameters() if name.endswith("weight")]
    assert shapes == [(8, 16, 3, 3), (8, 8, 1, 1), (5, 8, 1, 1)]


@pytest.mark.parametrize("rates", [[], [0, 6], [1.5]])
def test_rates_that_make_no_sense(rates):
    with pytest.raises(ConfigError, match="rates are a list of whole numbers above 0") as caught:
        AsppSum(SPEC, DATA, rates=rates)
    assert caught.value.fix == "head.rates=[6,12,18,24], or null: from stride 8"
