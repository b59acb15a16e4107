"""Any picture as one that a screen can show."""

from __future__ import annotations

import torch
from torch import Tensor

DARK = 1 / 8  # of the full range; 12 bit in a file of 16 stay below 1/16


def visible(image: Tensor) -> Tensor:
    """The first three channels, or of fewer the first as grey, with values that can be told apart.

    Integers of more than 8 bit are stretched to their own range. Floats in [0, 1] no longer tell how many bits they had: they
    are stretched only where no value reaches 1/8, as with data of 12 bit in files of 16, and with very dark pictures.

    Args:
        image: uint8, int32 or float [C,H,W].

    Returns:
        uint8 [3,H,W].
    """
    image = image[:3] if image.shape[0] >= 3 else image[:1].expand(3, -1, -1)
    if image.dtype == torch.uint8:
        return image.contiguous()
    if image.is_floating_point() and image.amax() >= DARK:
        return (image * 255).round().to(torch.uint8)
    low, high = image.amin(), image.amax()
    return ((image - low).double() * (255 / float(high - low) if high > low else 0)).round().to(torch.uint8)
