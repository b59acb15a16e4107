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
        align_corners: pixel x of the input lies at cell x / stride, for inputs of k x stride + 1, instead of (x + 0.5) / stride - 0.5.
    """

    output_type = SemanticLogits
    needs: frozenset[str] = frozenset()

    def __init__(
        self, features: FeatureSpec, data: DataSpec, *, level: str = "semantic", dropout: float = 0.0, align_corners: bool = False
    ) -> None:
        super().__init__()
        require(features, level, by="SemanticHead")
        self.level, self.stride, self.align_corners = level, features[level].stride, align_corners
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(features[level].channels, data.num_classes, 1)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> SemanticLogits:
        logits = self.classify(self.dropout(features[self.level]))  # [B,K,h,w]
        return SemanticLogits(logits, self.stride, align_corners=self.align_corners)
