"""What the heads of one-stage detectors share: which levels of a pyramid they read."""

from __future__ import annotations

from collections.abc import Sequence

from segexp.errors import ConfigError, WiringError
from segexp.types import FeatureSpec
from segexp.wiring import require

GROUPS = 32  # of torchvision's GroupNorms


def one_width(features: FeatureSpec, levels: Sequence[str], *, by: str, groups: bool) -> int:
    """The channels that all levels have.

    Args:
        features: what the decoder emits.
        levels: the levels that the head reads.
        by: the head.
        groups: the channels are normed in 32 groups.

    Raises:
        ConfigError: no level is named.
        WiringError: a level is missing, they differ in width, or the width can't be normed.
    """
    if not levels:
        raise ConfigError(f"{by} reads one level at least", where="head.levels=[]", fix="head.levels=[p3,p4,p5,p6,p7]")
    require(features, *levels, by=by)
    widths = {name: features[name].channels for name in levels}
    width = widths[levels[0]]
    if set(widths.values()) != {width} or (groups and width % GROUPS):
        what = f"{by} needs levels of one width{f', a multiple of {GROUPS}' if groups else ''}"
        given = "it is given " + ", ".join(f"{name} with {channels} channels" for name, channels in widths.items())
        raise WiringError(what, where=given, fix="decoder=feature_pyramid decoder.width=256")
    return width
