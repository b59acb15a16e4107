"""Where a panoptic prediction is wrong: things that are missed, false, merged or split, and pixels of the wrong class."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from segexp.functional import segments as segment_ops
from segexp.functional.panoptic import Overlaps, overlaps
from segexp.types import DataSpec, Prediction, Targets
from segexp.visualize.draw import Color, line_width
from segexp.visualize.pixels import blend, borders, color_of, darken, dimmed

MISSED: Color = (255, 59, 48)
FALSE: Color = (255, 179, 0)
MERGED: Color = (191, 90, 242)
SPLIT: Color = (50, 190, 255)
PIXELS: Color = (255, 140, 170)
UNLABELLED: Color = (38, 50, 64)


class SegmentErrors(NamedTuple):
    """Each wrong thing is of one kind alone: what a merged or split one explains is neither missed nor false.

    Args:
        missed: bool [T], true things that nothing matches.
        split: bool [T], true things that consist mostly of two predicted ones or more.
        false: bool [S], predicted things that match nothing.
        merged: bool [S], predicted things that hold most of two true ones or more.
        wrong: bool [H,W], pixels with another class than the true one, or none.
        unlabelled: bool [H,W], void and crowds.
    """

    missed: Tensor
    split: Tensor
    false: Tensor
    merged: Tensor
    wrong: Tensor
    unlabelled: Tensor

    def legend(self) -> list[tuple[str, Color]]:
        """How many there are of each kind, and its colour."""
        kinds = {"missed": MISSED, "false": FALSE, "merged": MERGED, "split": SPLIT}
        share = float(self.wrong.sum()) / max(int((~self.unlabelled).sum()), 1)
        found = [(f"{name} {int(getattr(self, name).sum())}", color) for name, color in kinds.items()]
        return [*found, (f"wrong class {100 * share:.1f} % of pixels", PIXELS), ("no label, or crowd", UNLABELLED)]


def segment_errors(truth: Targets, prediction: Prediction, data: DataSpec) -> SegmentErrors:
    """Compare segments as panoptic quality does: things match if they have the same class and an IoU above 0.5.

    Args:
        truth, prediction: with segments of one size, on the CPU.
        data: the classes.
    """
    real, guess = truth.segment_labels, prediction.segment_labels
    crowd = torch.zeros_like(real, dtype=torch.bool) if truth.segment_crowd is None else truth.segment_crowd
    pairs = overlaps(truth.segments, prediction.segments, len(real) + 1, len(guess) + 1)
    things = torch.tensor(data.thing_ids, dtype=real.dtype)
    ours, theirs = torch.isin(real, things) & ~crowd, torch.isin(guess, things)
    matched, hit = _matched(pairs, real, guess, ours, theirs)
    merged, merges, split, splits = _joined(pairs, ours, theirs)
    area, outside = pairs.predicted_areas()[1:], pairs.predicted_areas(_excused(pairs, real, guess, crowd))[1:]
    classes = [segment_ops.of_pixels(x.segments, labels, -1) for x, labels in ((truth, real), (prediction, guess))]
    unlabelled = (truth.segments == 0) | (segment_ops.of_pixels(truth.segments, crowd.long()) > 0)
    return SegmentErrors(
        missed=ours & ~matched & ~merges & ~split,
        split=split,
        false=theirs & ~hit & ~merged & ~splits & (area > 0) & (2 * outside <= area),
        merged=merged,
        wrong=(classes[0] != classes[1]) & ~unlabelled,
        unlabelled=unlabelled,
    )


def draw_errors(found: SegmentErrors, truth: Targets, prediction: Prediction, image: Tensor) -> Tensor:
    """The errors in their colours, on the dimmed grey image; striped where a missed and a false thing lie on each other.

    A line parts the true things within a merged one, and the predicted ones within a split one.

    Args:
        found: of the two.
        truth, prediction: as compared.
        image: uint8 [3,H,W] of their size.

    Returns:
        uint8 [3,H,W].
    """
    missed, split = (segment_ops.of_pixels(truth.segments, which.long()) > 0 for which in (found.missed, found.split))
    false, merged = (segment_ops.of_pixels(prediction.segments, which.long()) > 0 for which in (found.false, found.merged))
    picture = torch.where(found.unlabelled, color_of(UNLABELLED), dimmed(image))
    false &= ~found.unlabelled
    layers = ((found.wrong, PIXELS), (false, FALSE), (missed & ~(false & _stripes(image)), MISSED), (merged, MERGED), (split, SPLIT))
    for where, color in layers:
        picture = torch.where(where, blend(dimmed(image), color_of(color), 0.7), picture)
    inner = (borders(truth.segments[None])[0] & merged) | (borders(prediction.segments[None])[0] & split)
    return darken(picture, inner)


def _matched(pairs: Overlaps, real: Tensor, guess: Tensor, ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """Things that have a match: bool [T], bool [S]."""
    t, p = _both(pairs, ours, theirs)
    same = real[t - 1] == guess[p - 1]
    t, p = t[same], p[same]
    ratios = pairs.ratios(t, p)
    good = 2 * ratios[:, 0] > ratios[:, 1]
    matched, hit = torch.zeros_like(ours), torch.zeros_like(theirs)
    matched[t[good] - 1], hit[p[good] - 1] = True, True
    return matched, hit


def _joined(pairs: Overlaps, ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Predicted things that hold most of several true ones, bool [S], and those, bool [T]; true ones made of several, and those."""
    t, p = _both(pairs, ours, theirs)
    shared = pairs.shared(t, p)
    held, lies = 2 * shared > pairs.areas()[t], 2 * shared > pairs.predicted_areas(pairs.truth != 0)[p]
    merged = torch.bincount(p[held] - 1, minlength=len(theirs)) > 1
    pieces = torch.bincount(t[lies] - 1, minlength=len(ours))
    covered = torch.zeros(len(ours), dtype=torch.int64).index_add_(0, t[lies] - 1, shared[lies])
    split = (pieces > 1) & (2 * covered > pairs.areas()[1:])
    merges, splits = torch.zeros_like(ours), torch.zeros_like(theirs)
    merges[t[held & merged[p - 1]] - 1] = True
    splits[p[lies & split[t - 1]] - 1] = True
    return merged, merges, split, splits


def _both(pairs: Overlaps, ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """The ids of the pairs of things."""
    none = torch.zeros(1, dtype=torch.bool)
    chosen = torch.cat([none, ours])[pairs.truth] & torch.cat([none, theirs])[pairs.predicted]
    return pairs.truth[chosen], pairs.predicted[chosen]


def _excused(pairs: Overlaps, real: Tensor, guess: Tensor, crowd: Tensor) -> Tensor:
    """Pairs whose pixels make no predicted thing false: void, and a crowd of its class; bool [P]."""
    none = torch.full((1,), -1)
    group = torch.cat([none, real.masked_fill(~crowd, -2)])[pairs.truth]
    return (pairs.truth == 0) | (group == torch.cat([none, guess])[pairs.predicted])


def _stripes(image: Tensor) -> Tensor:
    """Diagonal stripes: bool [H,W]."""
    height, width = image.shape[-2:]
    step = 4 * line_width(height, width)
    return (torch.arange(height)[:, None] + torch.arange(width)) // step % 2 == 0
