"""DeepLabv3: rates follow the output stride; convolutions are plain or separable."""

import pytest

from segexp.decoders.deeplabv3 import DeepLabV3
from segexp.errors import ConfigError
from segexp.types import Level


@pytest.mark.parametrize(("stride", "rates"), [(32, [3, 6, 9]), (16, [6, 12, 18]), (8, [12, 24, 36])])
def test_rates_follow_the_output_stride(stride, rates):
    decoder = DeepLabV3({"c5": Level(12, stride)}, width=8)
    assert [branch[0].dilation[0] for branch in list(decoder.aspp.branches)[1:]] == rates
    assert decoder.spec == {"semantic": Level(8, stride)}


def test_separable_convolutions_are_lighter():
    plain, light = (sum(p.numel() for p in DeepLabV3({"c5": Level(12, 8)}, width=8, separable=on).parameters()) for on in (False, True))
    assert light < plain / 2


@pytest.mark.parametrize(
    ("norm", "names"), [(True, ["0.weight", "1.weight", "1.bias"]), (False, ["0.weight"]), ("bias", ["0.weight", "0.bias"])]
)
def test_norm_of_the_image_pool(norm, names):
    decoder = DeepLabV3({"c5": Level(12, 8)}, width=8, pool_norm=norm)
    assert [name for name, _ in decoder.aspp.pool.project.named_parameters()] == names


def test_the_convolution_after_the_aspp_can_be_left_out():
    keys = {on: set(DeepLabV3({"c5": Level(12, 8)}, width=8, post_conv=on).state_dict()) for on in (None, True, False)}
    assert keys[None] == keys[True]
    assert {name.split(".")[0] for name in keys[True] - keys[False]} == {"refine"}


@pytest.mark.parametrize(
    ("key", "value", "where", "fix"),
    [
        ("rates", [6, 0], "decoder.rates=[6,0]", "decoder.rates=[12,24,36], or null: from stride 8"),
        ("rates", [], "decoder.rates=[]", "decoder.rates=[12,24,36], or null: from stride 8"),
        ("pool_norm", "none", "decoder.pool_norm=none", "decoder.pool_norm=true|false|bias"),
        ("separable", "twice", "decoder.separable=twice", "decoder.separable=false|true|two_norms"),
    ],
)
def test_values_that_there_are_not(key, value, where, fix):
    with pytest.raises(ConfigError) as caught:
        DeepLabV3({"c5": Level(12, 8)}, width=8, **{key: value})
    assert (caught.value.where, caught.value.fix) == (where, fix)
