"""Boundary panoptic quality (Cheng et al., 2021): segments match by their contours too."""

from __future__ import annotations

import torch
from torch import Tensor

from segexp.functional.contours import band, band_width
from segexp.functional.panoptic import Segments, panoptic_statistics
from segexp.metrics.panoptic import PanopticMetrics, segments
from segexp.types import DataSpec, Prediction, Targets


class BoundaryPanopticMetrics(PanopticMetrics):
    """`boundary_pq boundary_sq boundary_rq`, with `_things` and `_stuff`, and `boundary_pq/<class>`.

    Panoptic quality where the IoU of two segments is the lesser of that of their masks and that of the bands along their
    contours. A band holds the segment's pixels within a distance of another segment, of void or of the image's border, by the
    larger of the two axes, as in the official code.

    Args:
        data: the data set's classes.
        dilation_ratio: the distance as a share of the image's diagonal; it is a whole number of pixels, at least 1.
    """

    prefix = "boundary_"

    def __init__(self, data: DataSpec, *, dilation_ratio: float = 0.02) -> None:
        super().__init__(data)
        self.dilation_ratio = dilation_ratio

    def measure(self, prediction: Prediction, truth: Targets) -> dict[str, Tensor]:
        """Segments of one image: see `segexp.functional.panoptic.panoptic_statistics`."""
        real, guess = segments(prediction, truth)
        distance = band_width(tuple(real.ids.shape), self.dilation_ratio)
        return panoptic_statistics(real, guess, len(self.names), (_band(real, distance), _band(guess, distance)))


def _band(part: Segments, distance: int) -> Tensor:
    """Pixels within `distance` of another id or of the border: bool [H,W]; void is an id as any other here."""
    beyond = len(part.labels) + 1
    kind = next(kind for kind in (torch.uint8, torch.int16, torch.int32) if beyond < torch.iinfo(kind).max)
    return band(part.ids.to(kind), beyond, distance)
