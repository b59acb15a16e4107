"""FCN: how many convolutions, and what the last one reads."""

import pytest
import torch

from segexp.decoders.fcn import FCN
from segexp.errors import ConfigError
from segexp.types import Level

SPEC = {"c5": Level(12, 8)}


@pytest.mark.parametrize(("convs", "concat"), [(1, False), (3, False), (2, True)])
def test_convolutions(convs, concat):
    decoder = FCN(SPEC, width=8, convs=convs, concat=concat).eval()
    kernels = [p for p in decoder.parameters() if p.ndim == 4]
    assert [p.shape[1] for p in kernels] == [12] + [8] * (convs - 1) + [20] * concat
    assert decoder({"c5": torch.randn(1, 12, 3, 5)})["semantic"].shape == (1, 8, 3, 5)


def test_it_has_one_at_least():
    with pytest.raises(ConfigError, match=r"0 convolutions; decoder.convs"):
        FCN(SPEC, convs=0)
