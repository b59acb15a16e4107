"""No decoder: the head reads the backbone's levels."""

from __future__ import annotations

from torch import nn

from segexp.types import Features, FeatureSpec


class Identity(nn.Module):
    """Pass the backbone's features through."""

    def __init__(self, features: FeatureSpec) -> None:
        super().__init__()
        self.spec = dict(features)

    def forward(self, features: Features) -> Features:
        return features
