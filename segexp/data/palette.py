"""The colour map of PASCAL VOC, which many data sets and tools share."""

from __future__ import annotations


def voc_color(index: int) -> tuple[int, int, int]:
    """The colour of a class id: its bits, dealt out to red, green and blue from the highest bit down."""
    rgb = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            rgb[channel] |= (index >> (3 * place + channel) & 1) << (7 - place)
    return rgb[0], rgb[1], rgb[2]
