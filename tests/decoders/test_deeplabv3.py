"""DeepLabv3: rates follow the output stride; convolutions are plain or separable."""

import pytest

from segexp.decoders.deeplabv3 import DeepLabV3
from segexp.types import Level


@pytest.mark.parametrize(("stride", "rates"), [(32, [3, 6, 9]), (16, [6, 12, 18]), (8, [12, 24, 36])])
def test_rates_follow_the_output_stride(stride, rates):
    decoder = DeepLabV3({"c5": Level(12, stride)}, width=8)
    assert [branch[0].dilation[0] for branch in list(decoder.aspp.branches)[1:]] == rates
    assert decoder.spec == {"semantic": Level(8, stride)}


def test_separable_convolutions_are_lighter():
    plain, light = (sum(p.numel() for p in DeepLabV3({"c5": Level(12, 8)}, width=8, separable=on).parameters()) for on in (False, True))
    assert light < plain / 2
