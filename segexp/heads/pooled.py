"""Classes of a whole image: several levels pooled, one hidden layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from segexp.errors import ConfigError
from segexp.layers.conv import check_width
from segexp.layers.pool import GeneralisedMean, average, largest, pooled
from segexp.types import ClassLogits, DataSpec, Features, FeatureSpec, Sizes, Targets
from segexp.wiring import require

POOLS = {"avg": lambda: average, "max": lambda: largest, "gem": GeneralisedMean}


class PooledHead(nn.Module):
    """Pool levels over the cells that the image covers, set the vectors side by side, and classify them by two linear layers.

    Args:
        features: what the decoder emits, and the backbone's levels.
        data: the data set's classes; sets the number of logits.
        levels: that are pooled.
        pool: avg | max | gem, the generalised mean, whose power is learned for each level.
        width: of the hidden layer.
        dropout: probability of dropping a number before the last layer.

    Raises:
        ConfigError: no level, or no such pooling.
    """

    output_type = ClassLogits
    needs: frozenset[str] = frozenset()

    def __init__(
        self,
        features: FeatureSpec,
        data: DataSpec,
        *,
        levels: Sequence[str] = ("c4", "c5"),
        pool: str = "avg",
        width: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not levels or len(set(levels)) < len(levels):
            raise ConfigError("one level or several different ones are wanted", where=f"head.levels={list(levels)}", fix="head.levels=[c5]")
        check_width(width, key="head.width", usual=256)
        if pool not in POOLS:
            raise ConfigError("no such pooling", where=f"head.pool={pool}", fix=f"head.pool={'|'.join(POOLS)}")
        require(features, *levels, by="PooledHead")
        self.strides = {level: features[level].stride for level in levels}
        pools = {level: POOLS[pool]() for level in levels}
        self.learned = nn.ModuleDict({level: part for level, part in pools.items() if isinstance(part, nn.Module)})
        self.plain = {level: part for level, part in pools.items() if level not in self.learned}
        self.hidden = nn.Linear(sum(features[level].channels for level in levels), width)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(width, data.num_classes)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> ClassLogits:
        pools = {**self.plain, **dict(self.learned.items())}
        vectors = [pooled(features[level], stride, sizes, pools[level]) for level, stride in self.strides.items()]  # [B,C_l] each
        hidden = self.hidden(torch.cat(vectors, 1)).relu()  # [B,width]
        return ClassLogits(self.classify(self.dropout(hidden)))  # [B,K] logits
