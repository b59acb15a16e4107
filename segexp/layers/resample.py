"""Maps of one image at other sizes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def like(x: Tensor, reference: Tensor) -> Tensor:
    """Bring [B,C,h,w] to the size of `reference`, bilinear, with half-pixel centres; as it is where the sizes agree."""
    if x.shape[-2:] == reference.shape[-2:]:
        return x
    return F.interpolate(x, reference.shape[-2:], mode="bilinear", align_corners=False)


def doubled(x: Tensor) -> Tensor:
    """[B,C,h,w] to [B,C,2h,2w], bilinear, with half-pixel centres."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
