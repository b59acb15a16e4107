"""Statistics behind panoptic quality (Kirillov et al., 2019) of one image, by the rules of the official evaluation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from segexp.errors import DataError

SMALL_TABLE = 2**20  # cells of a table of pairs that are always affordable


class Segments(NamedTuple):
    """The segments of one image: ids int32 [H,W] with 0 = void, class int64 [S] of segment 1..S, crowd flags bool [S]."""

    ids: Tensor
    labels: Tensor
    crowd: Tensor | None = None


class Overlaps(NamedTuple):
    """The pairs of ids that occur, sorted: id in the truth, id in the prediction and pixels, int64 [P] each."""

    truth: Tensor
    predicted: Tensor
    pixels: Tensor
    rows: int  # more than any id in the truth
    columns: int  # more than any predicted id

    def areas(self) -> Tensor:
        """Pixels of each id of the truth: int64 [rows]."""
        return self.pixels.new_zeros(self.rows).index_add_(0, self.truth, self.pixels)

    def predicted_areas(self, counted: Tensor | None = None) -> Tensor:
        """Pixels of each predicted id, of the pairs bool [P] that are counted: int64 [columns]."""
        pixels = self.pixels if counted is None else self.pixels * counted
        return pixels.new_zeros(self.columns).index_add_(0, self.predicted, pixels)

    def shared(self, truth: Tensor, predicted: Tensor) -> Tensor:
        """Pixels of the pairs of ids asked for, 0 where a pair doesn't occur: int64 [M]."""
        known, wanted = (t * self.columns + p for t, p in ((self.truth, self.predicted), (truth, predicted)))
        at = torch.searchsorted(known, wanted).clamp_(max=len(known) - 1)
        return self.pixels[at] * (known[at] == wanted)

    def ratios(self, truth: Tensor, predicted: Tensor) -> Tensor:
        """Intersection and union of the pairs of ids asked for, without what is predicted in void: int64 [M,2]."""
        both = self.shared(truth, predicted)
        return torch.stack([both, self.areas()[truth] + self.predicted_areas(self.truth != 0)[predicted] - both], 1)


def overlaps(truth: Tensor, predicted: Tensor, rows: int, columns: int) -> Overlaps:
    """Count the pixels of each pair of ids in one pass: a histogram over the joint id.

    Ids are contiguous, so the table of all pairs is small; where it were much larger than the image, pairs are sorted.

    Args:
        truth: int32 [H,W], every id below `rows`.
        predicted: int32 [H,W], every id below `columns`.
        rows: ids in the truth, void included.
        columns: ids in the prediction, void included.
    """
    cells = rows * columns
    kind = torch.int32 if cells < 2**31 else torch.int64
    joint = torch.add(predicted.to(kind), truth.to(kind), alpha=columns).flatten()
    if cells <= max(4 * joint.numel(), SMALL_TABLE):
        table = torch.bincount(joint, minlength=cells)
        found = table.nonzero().flatten()
        pixels = table[found]
    else:
        found, pixels = torch.unique(joint, return_counts=True)
        found = found.long()
    return Overlaps(found.div(columns, rounding_mode="floor"), found % columns, pixels, rows, columns)


def panoptic_statistics(
    truth: Segments, predicted: Segments, classes: int, bands: tuple[Tensor, Tensor] | None = None
) -> dict[str, Tensor]:
    """What one image adds to the panoptic quality of a data set, in integers.

    A predicted segment matches a segment of the same class that is no crowd if their IoU is above 0.5; pixels of the
    prediction in the truth's void count in no union. A segment of the truth without match is missed, unless it is a crowd. A
    predicted segment without match is wrong, unless more than half of it lies in the truth's void and in the crowd of its
    class (the last, where there are several: the official order). What is predicted as void is no segment; a segment of the
    prediction without a pixel is none either, while one of the truth is missed.

    Args:
        truth: the segments of the truth.
        predicted: those of the prediction, of the same size; its crowd flags aren't read.
        classes: number of classes K.
        bands: for boundary PQ: the pixels near a contour of the truth and of the prediction, bool [H,W] each. The IoU is
            then the lesser of the masks' and the bands'.

    Returns:
        `matches` int64 [M,3]: class, intersection and union of each match; `wrong` and `missed` int64 [K], segments of each
        class without a match.

    Raises:
        DataError: a segment has no class, or the sizes differ.
    """
    _check(truth, predicted)
    pairs = overlaps(truth.ids, predicted.ids, len(truth.labels) + 1, len(predicted.labels) + 1)
    crowd = torch.zeros_like(truth.labels, dtype=torch.bool) if truth.crowd is None else truth.crowd
    chosen = _comparable(pairs, truth.labels, crowd, predicted.labels)  # [P]
    t, p = pairs.truth[chosen], pairs.predicted[chosen]  # [M]
    ratios = pairs.ratios(t, p)
    if bands is not None:
        ratios = _lesser(ratios, _within(bands, truth.ids, predicted.ids, pairs).ratios(t, p))
    hit = 2 * ratios[:, 0] > ratios[:, 1]
    t, p, ratios = t[hit] - 1, p[hit] - 1, ratios[hit]
    missed, wrong = ~crowd, _countable(pairs, truth.labels, crowd, predicted.labels)
    missed[t], wrong[p] = False, False
    return {
        "matches": torch.cat([truth.labels[t, None], ratios], 1),
        "wrong": torch.bincount(predicted.labels[wrong], minlength=classes),
        "missed": torch.bincount(truth.labels[missed], minlength=classes),
    }


def _check(truth: Segments, predicted: Segments) -> None:
    if truth.ids.shape != predicted.ids.shape:
        sizes = " and ".join("x".join(map(str, x.ids.shape)) for x in (truth, predicted))
        raise DataError("truth and prediction differ in size", where=sizes, fix="predict at the image's original size")
    for name, part in (("truth", truth), ("prediction", predicted)):
        low, high = (int(x) for x in part.ids.aminmax()) if part.ids.numel() else (0, 0)
        if low < 0 or high > len(part.labels):
            wrong = low if low < 0 else high
            raise DataError(f"segment {wrong} has no class", where=f"the {name}", fix=f"number segments 1..{len(part.labels)}, 0 is void")


def _comparable(pairs: Overlaps, labels: Tensor, crowd: Tensor, predicted: Tensor) -> Tensor:
    """Which pairs are of two segments of one class, the truth's no crowd: bool [P]."""
    none = labels.new_full((1,), -1)
    real = torch.cat([none, labels.masked_fill(crowd, -1)])[pairs.truth]
    guess = torch.cat([none - 1, predicted])[pairs.predicted]
    return real == guess


def _within(bands: tuple[Tensor, Tensor], truth: Tensor, predicted: Tensor, pairs: Overlaps) -> Overlaps:
    """The overlaps of the segments' bands alone.

    What lies inside of the contours becomes one more id, and void stays void: a band's pixels in the truth's void don't count.
    """
    sides = zip((truth, predicted), bands, (pairs.rows, pairs.columns), strict=True)
    return overlaps(*(ids.masked_fill(~band & (ids > 0), beyond) for ids, band, beyond in sides), pairs.rows + 1, pairs.columns + 1)


def _lesser(first: Tensor, second: Tensor) -> Tensor:
    """Of each two ratios, int64 [M,2] both, the lesser; compared without division."""
    return torch.where((second[:, 0] * first[:, 1] < first[:, 0] * second[:, 1])[:, None], second, first)


def _countable(pairs: Overlaps, labels: Tensor, crowd: Tensor, predicted: Tensor) -> Tensor:
    """Which predicted segments would be wrong without a match: no more than half is in void and in the class's crowd: bool [S]."""
    classes = int(torch.cat([labels, predicted, labels.new_zeros(1)]).max()) + 1
    crowds = crowd.nonzero().flatten()
    last = labels.new_full((classes,), -1).scatter_reduce_(0, labels[crowds], crowds + 1, "amax")  # id of each class's last crowd
    home = torch.cat([labels.new_full((1,), -1), last[predicted]])[pairs.predicted]  # [P]
    excused = pairs.predicted_areas((pairs.truth == 0) | (pairs.truth == home))[1:]
    area = pairs.predicted_areas()[1:]
    return (area > 0) & (2 * excused <= area)
