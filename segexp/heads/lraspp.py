"""Lite R-ASPP (Howard et al., "Searching for MobileNetV3", 2019), in the form that torchvision gave it."""

from __future__ import annotations

from torch import nn
from torch.nn import functional as F

from segexp.layers.conv import conv_norm_act
from segexp.types import DataSpec, Features, FeatureSpec, SemanticLogits, Sizes, Targets
from segexp.wiring import require


class LiteRASPP(nn.Module):
    """The deepest level, gated by its own mean and upsampled, and a shallow one beside it, each to one logit per class.

    Args:
        features: what the decoder and the backbone emit.
        data: the data set's classes; sets the number of channels.
        high: the level that is gated.
        low: the level whose resolution the logits have; of stride 8 in the paper.
        width: channels of the gated level.
        align_corners: how levels and logits are resized; pixel x of the input then lies at cell x / stride.

    Raises:
        WiringError: a level is missing.
    """

    output_type = SemanticLogits
    needs: frozenset[str] = frozenset()

    def __init__(
        self,
        features: FeatureSpec,
        data: DataSpec,
        *,
        high: str = "c5",
        low: str = "c3",
        width: int = 128,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        require(features, high, low, by="LiteRASPP")
        self.high, self.low, self.stride, self.align_corners = high, low, features[low].stride, align_corners
        self.project = conv_norm_act(features[high].channels, width)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(features[high].channels, width, 1, bias=False), nn.Sigmoid())
        self.classify_low = nn.Conv2d(features[low].channels, data.num_classes, 1)
        self.classify_high = nn.Conv2d(width, data.num_classes, 1)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> SemanticLogits:
        low, high = features[self.low], features[self.high]
        gated = self.project(high) * self.gate(high)  # [B,C,h',w']
        gated = F.interpolate(gated, low.shape[-2:], mode="bilinear", align_corners=self.align_corners)
        return SemanticLogits(
            self.classify_low(low) + self.classify_high(gated), self.stride, align_corners=self.align_corners
        )  # [B,K,h,w] logits
