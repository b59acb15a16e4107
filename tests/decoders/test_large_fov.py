"""DeepLabv1's classifier."""

import pytest
import torch
from torch.nn import functional as F

from segexp.decoders.large_fov import LargeFOV
from segexp.errors import ConfigError
from segexp.types import Level


@pytest.mark.parametrize(("stride", "rate"), [(8, 12), (16, 6), (32, 3)])
def test_the_rate_follows_the_stride(stride, rate):
    assert LargeFOV({"c5": Level(4, stride)}).layers[0].dilation == (rate, rate)
    assert LargeFOV({"c5": Level(4, stride)}, rate=4).layers[0].dilation == (4, 4)


def test_parameters_of_the_paper():
    """fc6 of 3x3 x 512 to 1024 and fc7 of 1024 to 1024, with biases."""
    assert sum(p.numel() for p in LargeFOV({"c5": Level(512, 8)}).parameters()) == 512 * 9 * 1024 + 1024 + 1024 * 1024 + 1024


def test_the_mean_of_nine_cells_comes_first():
    decoder, x = LargeFOV({"c5": Level(4, 8)}, width=6).eval(), torch.randn(1, 4, 7, 9)
    torch.testing.assert_close(decoder({"c5": x})["semantic"], decoder.layers(F.avg_pool2d(x, 3, 1, 1)))
    plain = LargeFOV({"c5": Level(4, 8)}, width=6, pool=1).eval()
    torch.testing.assert_close(plain({"c5": x})["semantic"], plain.layers(x))


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [("pool", 2, "decoder.pool=3, or 1: none"), ("rate", 0, "decoder.rate=[12], or null: from stride 8")],
)
def test_values_that_make_no_sense(key, value, fix):
    with pytest.raises(ConfigError) as caught:
        LargeFOV({"c5": Level(4, 8)}, **{key: value})
    assert caught.value.fix == fix
