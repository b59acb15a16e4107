"""DPT: levels of any power of two are brought to the strides 4, 8, 16 and 32."""

import pytest
import torch
from torch import nn

from segexp.decoders.dpt import DPT, Fusion
from segexp.errors import ConfigError, WiringError
from segexp.types import Level


def spec(*strides):
    return {f"c{number}": Level(6, stride) for number, stride in enumerate(strides, start=2)}


def narrow(features):
    return DPT(features, widths=[4, 4, 4, 4], width=8)


@pytest.mark.parametrize(
    ("strides", "kinds"),
    [
        ((16, 16, 16, 16), [nn.ConvTranspose2d, nn.ConvTranspose2d, nn.Identity, nn.Conv2d]),  # a plain transformer
        ((4, 8, 16, 32), [nn.Identity] * 4),
        ((4, 8, 8, 8), [nn.Identity, nn.Identity, nn.Conv2d, nn.Conv2d]),
    ],
)
def test_levels_are_brought_to_four_strides(strides, kinds):
    decoder, deepest = narrow(spec(*strides)), max(strides)
    assert [type(part[1]) for part in decoder.reassemble] == kinds
    side = 6 * deepest  # at stride 32 its half of a cell is rounded up
    maps = {name: torch.randn(1, 6, side // s, side // s) for name, (_, s) in spec(*strides).items()}
    for number, part in enumerate(decoder.reassemble):
        assert part(maps[f"c{number + 2}"]).shape[-1] == -(-side // 2 ** (number + 2))
    assert decoder(maps)["semantic"].shape == (1, 8, side // 2, side // 2)


def test_patches_of_fourteen_pixels_are_refused():
    with pytest.raises(WiringError, match=r"DPT brings levels to the strides 4, 8, 16, 32; the level c2 has stride 14; fix: .*vit_tiny"):
        narrow(spec(14, 14, 14, 14))


def test_four_widths():
    with pytest.raises(ConfigError, match=r"one width for each of four levels; decoder.widths=\[4,4\]"):
        DPT(spec(4, 8, 16, 32), widths=[4, 4])


def test_what_comes_from_below_is_added():
    fusion = Fusion(1, first=False)
    fusion.level, fusion.both, fusion.out = nn.Identity(), nn.Identity(), nn.Identity()
    assert float(fusion(torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 3.0))) == 5
