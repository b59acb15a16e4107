"""Colours for classes that have none of their own."""

from __future__ import annotations

import colorsys

GOLDEN = 0.618033988749895  # of a turn around the colour wheel: neighbours in the list lie far apart
TONES = ((0.75, 0.90), (0.55, 0.65), (0.95, 0.70), (0.40, 0.95))  # (saturation, value), in turn


def distinct_colors(count: int) -> tuple[tuple[int, int, int], ...]:
    """The first `count` colours (RGB, 0..255) of one fixed sequence; more classes don't change those before."""
    found = []
    for i in range(count):
        saturation, value = TONES[i % len(TONES)]
        red, green, blue = (round(255 * x) for x in colorsys.hsv_to_rgb(i * GOLDEN % 1, saturation, value))
        found.append((red, green, blue))
    return tuple(found)
