"""The head of DeepLabv2: atrous convolutions to class logits, summed (Chen et al., "DeepLab: Semantic Image Segmentation ...", 2016)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from segexp.layers.aspp import atrous_rates
from segexp.layers.conv import fully_connected
from segexp.types import DataSpec, Features, FeatureSpec, SemanticLogits, Sizes, Targets
from segexp.wiring import require

RATES = (3, 6, 9, 12)  # ASPP-L at stride 16: 6, 12, 18, 24 at the paper's stride 8


class AsppSum(nn.Module):
    """The sum of parallel 3x3 convolutions to one logit per class, each with its own dilation.

    Args:
        features: what the decoder and the backbone emit.
        data: the data set's classes; sets the number of channels.
        level: the level that is read.
        rates: dilations; from the level's stride unless given (6, 12, 18, 24 at stride 8, the paper's ASPP-L).
        hidden: channels of a 3x3 and a 1x1 convolution (fc6 and fc7 of VGG-16) before each branch's classifier; none unless given.
        dropout: probability after each of those.
        align_corners: pixel x of the input lies at cell x / stride, for inputs of k x stride + 1, instead of (x + 0.5) / stride - 0.5.

    Raises:
        ConfigError: a rate makes no sense.
        WiringError: the level is missing.
    """

    output_type = SemanticLogits
    needs: frozenset[str] = frozenset()

    def __init__(
        self,
        features: FeatureSpec,
        data: DataSpec,
        *,
        level: str = "c5",
        rates: Sequence[int] | None = None,
        hidden: int | None = None,
        dropout: float = 0.5,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        require(features, level, by="AsppSum")
        channels, stride = features[level]
        self.level, self.stride, self.align_corners = level, stride, align_corners
        self.rates = atrous_rates(stride, rates, published=RATES, key="head.rates")
        if hidden is None:
            branches = [nn.Conv2d(channels, data.num_classes, 3, padding=r, dilation=r) for r in self.rates]
        else:
            branches = [
                nn.Sequential(*fully_connected(channels, hidden, r, dropout), nn.Conv2d(hidden, data.num_classes, 1)) for r in self.rates
            ]
        self.branches = nn.ModuleList(branches)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> SemanticLogits:
        first, *others = (branch(features[self.level]) for branch in self.branches)  # [B,K,h,w] each
        for logits in others:
            first = first + logits
        return SemanticLogits(first, self.stride, align_corners=self.align_corners)
