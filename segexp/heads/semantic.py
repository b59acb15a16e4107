"""Class logits per pixel from one level."""

from __future__ import annotations

from torch import nn

from segexp.types import DataSpec, Features, FeatureSpec, SemanticLogits, Sizes, Targets
from segexp.wiring import require


class SemanticHead(nn.Module):
    """A 1x1 convolution to one logit per class.

    Args:
        features: what the decoder emits.
        data: the data set's classes; sets the number of channels.
        level: the level that is read.
        dropout: probability of dropping a whole channel before the convolution.
    """

    output_type = SemanticLogits
    needs: frozenset[str] = frozenset()

    def __init__(self, features: FeatureSpec, data: DataSpec, *, level: str = "semantic", dropout: float = 0.0) -> None:
        super().__init__()
        require(features, level, by="SemanticHead")
        self.level, self.stride = level, features[level].stride
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(features[level].channels, data.num_classes, 1)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> SemanticLogits:
        return SemanticLogits(self.classify(self.dropout(features[self.level])), self.stride)  # [B,K,h,w] logits
