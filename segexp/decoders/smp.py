"""Decoders of segmentation_models_pytorch behind this project's contract: one adapter, and a function for each.

Their encoders hand over a list that begins with the image; here its place, and that of levels which a backbone lacks,
is taken by maps without channels, of which only the size is read. Batches of one image train: see `single_value_safe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from segexp.decoders.levels import Ladder, climb, four, ladder
from segexp.errors import ConfigError
from segexp.functional.imports import without
from segexp.layers.norm import single_value_safe
from segexp.types import Features, FeatureSpec, Level

with without("wandb"):
    from segmentation_models_pytorch.decoders.linknet.decoder import LinknetDecoder
    from segmentation_models_pytorch.decoders.manet.decoder import MAnetDecoder
    from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
    from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
    from segmentation_models_pytorch.decoders.unetplusplus.decoder import UnetPlusPlusDecoder
    from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder


class SmpDecoder(nn.Module):
    """A decoder that reads a list of maps, fed with levels; emits the level `semantic`.

    Args:
        inner: the decoder, freshly built.
        steps: the levels, and the sizes before them.
        output: channels and stride of what `inner` gives.
    """

    def __init__(self, inner: nn.Module, steps: Ladder, output: Level) -> None:
        super().__init__()
        self.inner, self.steps = single_value_safe(inner), steps
        self.spec: FeatureSpec = {"semantic": output}

    def forward(self, features: Features) -> Features:
        maps = [features[name] for name in self.steps.names]
        finest, stride = maps[0], self.steps.strides[self.steps.blanks]
        batch, _, height, width = finest.shape
        factors = [stride // blank for blank in self.steps.strides[: self.steps.blanks]]
        blanks = [finest.new_empty(batch, 0, height * factor, width * factor) for factor in factors]
        return {"semantic": self.inner([*blanks, *maps])}  # [B,C,h,w]


def unet(
    features: FeatureSpec, *, levels: Sequence[str] | None = None, widths: Sequence[int] = (256, 128, 64, 32, 16), attention: bool = False
) -> SmpDecoder:
    """U-Net (Ronneberger et al., 2015); takes levels of any strides.

    Args:
        features: what the backbone emits.
        levels: names, shallow to deep; all that there are unless given.
        widths: channels at the strides 16, 8, 4, 2, 1; fewer end at a coarser stride.
        attention: squeeze and excite channels and places in every block (Roy et al., 2018).

    Raises:
        WiringError: a level is missing.
        ConfigError: a number of widths that can't be.
    """
    steps = ladder(features, levels, by="U-Net", doubling=False)
    channels, stride = climb(steps, widths)
    inner = UnetDecoder(steps.channels, channels, len(channels), attention_type="scse" if attention else None)
    return SmpDecoder(inner, steps, Level(channels[-1], stride))


def unetplusplus(
    features: FeatureSpec, *, levels: Sequence[str] | None = None, widths: Sequence[int] = (256, 128, 64, 32, 16), attention: bool = False
) -> SmpDecoder:
    """U-Net++ (Zhou et al., 2018): nested, densely joined U-Nets; arguments as in `unet`, but its steps double.

    The last step has no skip connection.

    Raises:
        WiringError: a level is missing, strides jump, or none is 4 or less.
        ConfigError: a number of widths that can't be.
    """
    steps = ladder(features, levels, by="U-Net++", doubling=True, finest=4)
    channels, stride = climb(steps, widths)
    if len(channels) < 2:
        raise ConfigError("U-Net++ needs two steps up", where=f"decoder.widths=[{','.join(map(str, widths))}]", fix="give one more")
    inner = UnetPlusPlusDecoder(steps.channels, channels, len(channels), attention_type="scse" if attention else None)
    return SmpDecoder(inner, steps, Level(channels[-1], stride))


def linknet(features: FeatureSpec, *, levels: Sequence[str] | None = None, width: int = 32) -> SmpDecoder:
    """LinkNet (Chaurasia and Culurciello, 2017): each step has the channels of its level, which is added; ends at stride 1.

    Args:
        features: what the backbone emits; strides double.
        levels: names, shallow to deep; all that there are unless given.
        width: channels of the output.

    Raises:
        WiringError: a level is missing, or strides jump.
    """
    steps = ladder(features, levels, by="LinkNet", doubling=True)
    inner = LinknetDecoder(list(steps.channels), width, len(steps.strides) - 1)
    return SmpDecoder(inner, steps, Level(width, 1))


class PositionAttention(nn.Module):
    """Every cell sees all others, weighed by likeness (Fan et al., 2020): in place of SMP's, which mixes cells and channels up.

    Args:
        channels: of the map.
        width: channels in which cells are compared.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.query, self.key = nn.Conv2d(channels, width, 1), nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, channels, 3, padding=1)
        self.out = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part(x).flatten(2).transpose(1, 2) for part in (self.query, self.key, self.value))  # [B,hw,C]
        seen = F.scaled_dot_product_attention(query, key, value)
        return self.out(x + seen.transpose(1, 2).reshape(x.shape))


def manet(
    features: FeatureSpec,
    *,
    levels: Sequence[str] | None = None,
    widths: Sequence[int] = (256, 128, 64, 32, 16),
    reduction: int = 16,
    attention_width: int = 64,
) -> SmpDecoder:
    """MA-Net (Fan et al., 2020): a U-Net with attention over places at its deepest level and over channels in its steps.

    Args:
        features: what the backbone emits; strides double.
        levels: names, shallow to deep; all that there are unless given.
        widths: channels at the strides 16, 8, 4, 2, 1; fewer end at a coarser stride.
        reduction: by which a step's channels are squeezed.
        attention_width: channels in which places are compared.

    Raises:
        WiringError: a level is missing, or strides jump.
        ConfigError: a number of widths that can't be.
    """
    steps = ladder(features, levels, by="MA-Net", doubling=True)
    channels, stride = climb(steps, widths)
    inner: Any = MAnetDecoder(list(steps.channels), channels, len(channels), reduction, pab_channels=attention_width)
    inner.center = PositionAttention(steps.channels[-1], attention_width)
    return SmpDecoder(inner, steps, Level(channels[-1], stride))


def segformer(features: FeatureSpec, *, levels: Sequence[str] = ("c2", "c3", "c4", "c5"), width: int = 256) -> SmpDecoder:
    """SegFormer's all-MLP decoder (Xie et al., 2021): each level projected, brought to stride 4, and all fused.

    Args:
        features: what the backbone emits; any strides.
        levels: four names, shallow to deep.
        width: channels of each projection and of the output.

    Raises:
        WiringError: a level is missing.
    """
    steps = _from_second(features, levels, by="SegFormer")
    return SmpDecoder(SegformerDecoder(list(steps.channels), 5, width), steps, Level(width, 4))


def upernet(features: FeatureSpec, *, levels: Sequence[str] = ("c2", "c3", "c4", "c5"), width: int = 256) -> SmpDecoder:
    """UPerNet (Xiao et al., 2018): pyramid pooling on the deepest level, then a feature pyramid whose levels are fused.

    Args:
        features: what the backbone emits; any strides.
        levels: four names, shallow to deep; the output has the size of the first.
        width: channels throughout.

    Raises:
        WiringError: a level is missing.
    """
    steps = _from_second(features, levels, by="UPerNet")
    return SmpDecoder(UPerNetDecoder(steps.channels, 5, width), steps, Level(width, features[levels[0]].stride))


def _from_second(features: FeatureSpec, levels: Sequence[str], *, by: str) -> Ladder:
    """Four levels after the image and an empty first step: the form that decoders expect which don't read `c1`."""
    names = four(features, levels, by=by)
    finest = features[names[0]].stride
    strides = (1, max(finest // 2, 1), *(features[name].stride for name in names))
    return Ladder(tuple(names), strides, (0, 0, *(features[name].channels for name in names)))
