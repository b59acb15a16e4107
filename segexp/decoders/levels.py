"""Which levels a decoder reads: what lacks is named with the key that chooses it and the levels that there are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from segexp.errors import ConfigError, WiringError
from segexp.types import FeatureSpec

ANY_STRIDES = ("deeplabv3plus", "fpn", "pan", "segformer", "unet", "upernet")  # decoders that take levels of any strides, for messages
COARSEST_WIDTH = 16  # the stride that the first of a U-Net's widths belongs to


def need(features: FeatureSpec, *, by: str, **keys: str | Sequence[str]) -> None:
    """Refuse a decoder that reads levels which it isn't given.

    Args:
        features: what the backbone emits.
        by: the decoder, as people call it.
        keys: the decoder's key to the level, or levels, that it names.

    Raises:
        WiringError: names the levels that are missing, those that are given, and of each key the values that fit.
    """
    asked = {key: [value] if isinstance(value, str) else list(value) for key, value in keys.items()}
    missing = {key: [name for name in names if name not in features] for key, names in asked.items()}
    lacking = list(dict.fromkeys(name for names in missing.values() for name in names))
    if lacking:
        values = {key: "|".join(features) if isinstance(keys[key], str) else f"[{','.join(features)}]" for key in keys if missing[key]}
        raise WiringError(
            f"{by} needs the level{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}",
            where=f"it is given {', '.join(features) or 'none'}",
            fix=", ".join(f"decoder.{key}={fit}" for key, fit in values.items()) + "; or a backbone that has what lacks",
        )


def four(features: FeatureSpec, levels: Sequence[str], *, by: str) -> list[str]:
    """The four levels that a decoder reads, shallow to deep.

    Raises:
        ConfigError: there aren't four.
        WiringError: one is missing.
    """
    if len(levels) != 4:
        raise ConfigError(f"{by} reads four levels", where=f"decoder.levels=[{','.join(levels)}]", fix="decoder.levels=[c2,c3,c4,c5]")
    need(features, by=by, levels=levels)
    return list(levels)


class Ladder(NamedTuple):
    """Steps from the image down to the deepest level, as the encoders of segmentation_models_pytorch give them.

    `names` are the levels that there are, the last entries of `strides` and `channels`; the entries before, the first
    of them the image itself, are sizes without a map (0 channels).
    """

    names: tuple[str, ...]
    strides: tuple[int, ...]
    channels: tuple[int, ...]

    @property
    def blanks(self) -> int:
        return len(self.strides) - len(self.names)


def ladder(features: FeatureSpec, levels: Sequence[str] | None, *, by: str, doubling: bool, finest: int = 0) -> Ladder:
    """The levels that a U-shaped decoder climbs.

    Args:
        features: what the backbone emits.
        levels: names, shallow to deep; all that there are unless given.
        by: the decoder, as people call it.
        doubling: its steps double the resolution, so that of several levels with one stride (a dilated backbone has
            them) only the deepest is taken.
        finest: the greatest stride that the first level may have; any unless given.

    Raises:
        WiringError: a level is missing, the strides jump where they must double, or the first is too coarse.
    """
    names = tuple(levels or features)
    need(features, by=by, levels=names)
    if doubling:
        names = tuple({features[name].stride: name for name in names}.values())
    between = [features[names[0]].stride]
    while between[0] % 2 == 0 and between[0] > 2:
        between.insert(0, between[0] // 2)
    strides = (1, *between[:-1], *(features[name].stride for name in names))
    given = "it is given " + ", ".join(f"{name} at {features[name].stride}" for name in levels or features)
    fix = "decoder=" + "|".join(ANY_STRIDES)
    if doubling and any(deep != 2 * shallow for shallow, deep in pairwise(strides)):
        raise WiringError(f"{by} needs levels whose strides double", where=given, fix=fix)
    if finest and strides[-len(names)] > finest:
        raise WiringError(f"{by} needs a level of stride {finest} or less", where=given, fix=fix)
    channels = (0,) * (len(strides) - len(names)) + tuple(features[name].channels for name in names)
    return Ladder(names, strides, channels)


def climb(steps: Ladder, widths: Sequence[int]) -> tuple[list[int], int]:
    """The channels of each step up, and the stride that the last one reaches.

    Args:
        steps: the levels.
        widths: channels at the strides 16, 8, 4, 2, 1; fewer end at a coarser stride.

    Raises:
        ConfigError: there are more than five, or none that lies above the deepest level.
    """
    finest = COARSEST_WIDTH >> (len(widths) - 1) if widths else 0
    targets = [stride for stride in reversed(steps.strides[:-1]) if stride >= finest]
    if not finest or not targets:
        least = max(COARSEST_WIDTH // steps.strides[-2], 1).bit_length()
        raise ConfigError(
            f"{len(widths)} widths: they are the channels at the strides 16, 8, 4, 2, 1; the deepest level has stride {steps.strides[-1]}",
            where=f"decoder.widths=[{','.join(map(str, widths))}]",
            fix=f"{least} to 5 values",
        )
    chosen = [widths[max(0, (COARSEST_WIDTH // max(stride, 1)).bit_length() - 1)] for stride in targets]
    return chosen, targets[-1]
