"""The head of a fully convolutional network (Long et al., 2015), in the form that torchvision gave it."""

from __future__ import annotations

from torch import nn

from segexp.layers.conv import conv_norm_act
from segexp.types import DataSpec, Features, FeatureSpec, SemanticLogits, Sizes, Targets
from segexp.wiring import require


class FCNHead(nn.Module):
    """A 3x3 convolution with norm and activation, dropout, and a 1x1 convolution to one logit per class.

    Args:
        features: what the decoder and the backbone emit.
        data: the data set's classes; sets the number of channels.
        level: the level that is read.
        width: channels between the convolutions; a quarter of the level's unless given.
        dropout: probability of dropping a value before the last convolution.
        align_corners: pixel x of the input lies at cell x / stride, for inputs of k x stride + 1, instead of (x + 0.5) / stride - 0.5.
    """

    output_type = SemanticLogits
    needs: frozenset[str] = frozenset()

    def __init__(
        self,
        features: FeatureSpec,
        data: DataSpec,
        *,
        level: str = "c5",
        width: int | None = None,
        dropout: float = 0.1,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        require(features, level, by="FCNHead")
        self.level, self.stride, self.align_corners = level, features[level].stride, align_corners
        channels = features[level].channels
        width = width or max(channels // 4, 1)
        self.net = nn.Sequential(conv_norm_act(channels, width, 3), nn.Dropout(dropout), nn.Conv2d(width, data.num_classes, 1))

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> SemanticLogits:
        return SemanticLogits(self.net(features[self.level]), self.stride, align_corners=self.align_corners)  # [B,K,h,w] logits
