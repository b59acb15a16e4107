"""DPT decoder (Ranftl et al., "Vision Transformers for Dense Prediction", 2021), for transformers and convolutional backbones."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from segexp.decoders.levels import four
from segexp.errors import ConfigError, WiringError
from segexp.layers.conv import conv_norm_act
from segexp.layers.resample import doubled, like
from segexp.types import Features, FeatureSpec, Level

STRIDES = (4, 8, 16, 32)  # that the four levels are brought to


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions, each after a ReLU, around a shortcut.

    Args:
        width: channels in and out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        conv = [nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2)]
        self.body = nn.Sequential(nn.ReLU(), conv[0], nn.BatchNorm2d(width), nn.ReLU(inplace=True), conv[1], nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Fusion(nn.Module):
    """Refine a level, add what comes from below, refine again; the first, deepest one has nothing below.

    Args:
        width: channels in and out.
        first: without the unit that refines the level by itself.
    """

    def __init__(self, width: int, *, first: bool) -> None:
        super().__init__()
        self.level = None if first else ResidualUnit(width)
        self.both = ResidualUnit(width)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, level: Tensor, below: Tensor | None) -> Tensor:
        if self.level is not None and below is not None:
            level = self.level(level) + like(below, level)
        return self.out(self.both(level))


class DPT(nn.Module):
    """Four levels are brought to the strides 4, 8, 16 and 32, then fused from the deepest up; `semantic` has stride 2.

    Args:
        features: what the backbone emits; a plain transformer's levels have one stride.
        levels: four names, shallow to deep.
        widths: channels of each level before it is fused.
        width: channels of the fusion and of the output.
        dropout: probability of dropping a value of the result.
    """

    def __init__(
        self,
        features: FeatureSpec,
        *,
        levels: Sequence[str] = ("c2", "c3", "c4", "c5"),
        widths: Sequence[int] = (96, 192, 384, 768),
        width: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.levels = four(features, levels, by="DPT")
        if len(widths) != 4:
            where = f"decoder.widths=[{','.join(map(str, widths))}]"
            raise ConfigError("DPT has one width for each of four levels", where=where, fix="decoder.widths=[96,192,384,768]")
        parts = zip(self.levels, widths, STRIDES, strict=True)
        self.reassemble = nn.ModuleList(reassemble(features, name, middle, width, stride) for name, middle, stride in parts)
        self.fusions = nn.ModuleList(Fusion(width, first=name == self.levels[-1]) for name in self.levels)
        self.refine = nn.Sequential(conv_norm_act(width, width, 3), nn.Dropout(dropout))
        self.spec: FeatureSpec = {"semantic": Level(width, STRIDES[0] // 2)}

    def forward(self, features: Features) -> Features:
        maps = [bring(features[name]) for name, bring in zip(self.levels, self.reassemble, strict=True)]
        x = self.fusions[-1](maps[-1], None)  # [B,C,h,w]
        for level, fuse in zip(maps[-2::-1], list(self.fusions)[-2::-1], strict=True):
            x = fuse(level, x)
        return {"semantic": self.refine(doubled(x))}


def reassemble(features: FeatureSpec, name: str, middle: int, width: int, stride: int) -> nn.Sequential:
    """A level projected to `middle` channels, brought to a stride by a strided or transposed convolution, then to `width`.

    Raises:
        WiringError: the strides aren't multiples of each other.
    """
    channels, given = features[name]
    if given >= stride and given % stride == 0:
        factor = given // stride
        resample = nn.ConvTranspose2d(middle, middle, factor, stride=factor) if factor > 1 else nn.Identity()
    elif stride % given == 0:
        resample = nn.Conv2d(middle, middle, 3, stride=stride // given, padding=1)
    else:
        raise WiringError(
            f"DPT brings levels to the strides {', '.join(map(str, STRIDES))}",
            where=f"the level {name} has stride {given}",
            fix="a backbone whose strides are powers of two, such as vit_tiny or resnet50",
        )
    return nn.Sequential(nn.Conv2d(channels, middle, 1), resample, nn.Conv2d(middle, width, 3, padding=1, bias=False))
