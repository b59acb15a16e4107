"""Classes of a whole image: one level averaged, one linear layer."""

from __future__ import annotations

from torch import nn

from segexp.layers.pool import average, pooled
from segexp.types import ClassLogits, DataSpec, Features, FeatureSpec, Sizes, Targets
from segexp.wiring import require


class LinearHead(nn.Module):
    """Average a level over the cells that the image covers, and classify it.

    Args:
        features: what the decoder emits, and the backbone's levels.
        data: the data set's classes; sets the number of logits.
        level: the level that is averaged.
        dropout: probability of dropping a number before the linear layer.
    """

    output_type = ClassLogits
    needs: frozenset[str] = frozenset()

    def __init__(self, features: FeatureSpec, data: DataSpec, *, level: str = "c5", dropout: float = 0.0) -> None:
        super().__init__()
        require(features, level, by="LinearHead")
        self.level, self.stride = level, features[level].stride
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(features[level].channels, data.num_classes)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> ClassLogits:
        vector = pooled(features[self.level], self.stride, sizes, average)  # [B,C]
        return ClassLogits(self.classify(self.dropout(vector)))  # [B,K] logits
