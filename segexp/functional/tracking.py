"""Numbers of things that stay from frame to frame: masks are matched by overlap, and a thing may be away for a few frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from segexp.functional import segments as segment_ops
from segexp.functional.panoptic_png import tight_boxes

ALIKE = 0.8  # areas of a smaller ratio: something hides a part, and the centre says nothing of the speed
FADES = 0.98  # of the size that a thing once showed, each frame: it may be farther away by now
HIDDEN = 0.3  # what a segment that lies where the hidden rest can be counts for, beside an IoU
STAYED = 0.6  # what the IoU with a mask counts for that should have moved on by now
NEAR = 0.35  # of the sum of their diagonals: a track and a segment that both lack a partner are as near as this


@dataclass(frozen=True)
class Sight:
    """A thing in one frame: `mask` bool [h,w] in its tightest box, whose upper left pixel is at `corner`; its centre (y, x)."""

    mask: Tensor
    corner: tuple[int, ...]
    center: tuple[float, ...]
    frame: int
    area: int


@dataclass(frozen=True)
class Track:
    """A thing that is followed.

    Args:
        number: of the thing among those of its class, from 1.
        label: its class.
        last: how it was seen last.
        size: (height, width) of it, also of what is hidden at present.
        speed: (y, x) pixels per frame, smoothed; empty until it has been measured.
    """

    number: int
    label: int
    last: Sight
    size: tuple[float, ...]
    speed: tuple[float, ...] = ()


class Tracker:
    """Follows the things of a clip. It keeps masks of those that were seen lately, whatever the clip's length.

    A segment continues the track of its class that it overlaps most, the strongest pairs first: by the IoU with the mask as it
    was seen last, there or moved on at its speed; a part that comes out from behind another thing, by its share within the box
    where the hidden rest can be. What then remains and was there in the frame before continues in the nearest segment: a thing
    hardly ends in the same frame in which another of its class begins beside it. What continues none begins a track.

    Args:
        things: class ids; other segments have number 0.
        overlap: a track and a segment of less are different things.
        patience: frames that a track survives without a segment.
    """

    def __init__(self, things: tuple[int, ...], *, overlap: float = 0.15, patience: int = 5) -> None:
        self.things, self.overlap, self.patience = frozenset(things), overlap, patience
        self.tracks: dict[tuple[int, int], Track] = {}  # by class and number
        self.given: dict[int, int] = {}  # class -> the last number
        self.frame = -1
        self.drift: tuple[float, ...] = (0.0, 0.0)  # (y, x) of most things in the last frame: where a camera moves, of all

    def update(self, segments: Tensor, labels: Tensor) -> Tensor:
        """The numbers of the segments of the next frame.

        Args:
            segments: int32 [H,W] on the CPU, 0 = void, 1..S.
            labels: int64 [S].

        Returns:
            int64 [S]: of things the number within their class, from 1; of stuff, and of segments without a pixel, 0.
        """
        self.frame += 1
        self.tracks = {key: track for key, track in self.tracks.items() if self.frame - track.last.frame <= self.patience + 1}
        sights = self._sights(segments, labels)
        self.drift = _median([track.speed for track in self.tracks.values() if track.speed and track.last.frame == self.frame - 1])
        kept = self._matched(segments, labels, sights)
        numbers = torch.zeros(len(labels), dtype=torch.int64)
        for s, sight in sights.items():
            track = self._continued(kept[s], sight) if s in kept else self._begun(int(labels[s]), sight)
            self.tracks[track.label, track.number] = track
            numbers[s] = track.number
        return numbers

    def _sights(self, segments: Tensor, labels: Tensor) -> dict[int, Sight]:
        """The things of this frame, by their place in `labels`."""
        areas, centers = segment_ops.areas(segments, len(labels)).tolist(), segment_ops.centers(segments, len(labels)).tolist()
        boxes, found = tight_boxes(segments.numpy(), len(labels)).tolist(), {}
        for s, (label, area, (left, top, width, height)) in enumerate(zip(labels.tolist(), areas, boxes, strict=True)):
            if label in self.things and area:
                mask = segments[top : top + height, left : left + width] == s + 1
                found[s] = Sight(mask, (top, left), tuple(centers[s]), self.frame, area)
        return found

    def _begun(self, label: int, sight: Sight) -> Track:
        self.given[label] = self.given.get(label, 0) + 1
        return Track(self.given[label], label, sight, tuple(sight.mask.shape))

    def _continued(self, track: Track, sight: Sight) -> Track:
        """The track with its latest sight."""
        gap, old = sight.frame - track.last.frame, track.last
        size = tuple(max(now, before * FADES**gap) for now, before in zip(sight.mask.shape, track.size, strict=True))
        speed = track.speed
        if min(sight.area, old.area) >= ALIKE * max(sight.area, old.area):
            moved = [(new - before) / gap for new, before in zip(sight.center, old.center, strict=True)]
            speed = tuple((new + before) / 2 for new, before in zip(moved, speed or moved, strict=True))
        return replace(track, last=sight, size=size, speed=speed)

    def _matched(self, segments: Tensor, labels: Tensor, sights: dict[int, Sight]) -> dict[int, Track]:
        """Which segment continues which track: the strongest pair first, each once; then those that are left, the nearest first."""
        overlapping, near = [], []
        for key, track in self.tracks.items():
            here = [s for s in sights if int(labels[s]) == track.label]
            strengths = self._strengths(track, segments, [sights[s].area for s in here], here, len(labels))
            overlapping += [(-strength, s, key) for strength, s in zip(strengths, here, strict=True) if strength >= self.overlap]
            if self.frame - track.last.frame == 1:
                near += [(away, s, key) for s in here if (away := _away(track, sights[s])) <= NEAR]
        found: dict[int, Track] = {}
        taken = set()
        for _, s, key in sorted(overlapping) + sorted(near):
            if s not in found and key not in taken:
                found[s] = self.tracks[key]
                taken.add(key)
        return found

    def _strengths(self, track: Track, segments: Tensor, areas: list[int], chosen: list[int], count: int) -> list[float]:
        """How much a track and each of the chosen segments overlap, 0..1."""
        last, gap = track.last, self.frame - track.last.frame
        step = [round(speed * gap) for speed in track.speed or self.drift]
        there, moved = (_shared(segments, last.mask, corner, count) for corner in (last.corner, _added(last.corner, step)))
        beyond = [math.ceil(max(whole - seen, 0)) for whole, seen in zip(track.size, last.mask.shape, strict=True)]
        reach = [seen + 2 * more + abs(by) for seen, more, by in zip(last.mask.shape, beyond, step, strict=True)]
        corner = tuple(at - more + min(by, 0) for at, more, by in zip(last.corner, beyond, step, strict=True))
        near = _shared(segments, torch.ones(reach, dtype=torch.bool), corner, count)
        found = []
        for s, area in zip(chosen, areas, strict=True):
            stayed, gone = (both / (area + last.area - both) for both in (there[s], moved[s]))
            hidden = HIDDEN * near[s] / area if any(beyond) else 0.0
            found.append(max(gone, stayed * (STAYED if any(step) else 1), hidden))
        return found


def _away(track: Track, sight: Sight) -> float:
    """From where the track should be by now to a segment, in the sum of their diagonals."""
    expected = [at + by for at, by in zip(track.last.center, track.speed or (0, 0), strict=True)]
    return math.dist(expected, sight.center) / (math.hypot(*track.size) + math.hypot(*sight.mask.shape))


def _median(speeds: list[tuple[float, ...]]) -> tuple[float, ...]:
    """Of each coordinate; of none, no motion."""
    return tuple(median(values) for values in zip(*speeds, strict=True)) or (0.0, 0.0)


def _added(corner: tuple[int, ...], step: list[int]) -> tuple[int, ...]:
    return corner[0] + step[0], corner[1] + step[1]


def _shared(segments: Tensor, mask: Tensor, corner: tuple[int, ...], count: int) -> list[int]:
    """Pixels that each of the segments 1..count shares with a mask whose upper left pixel is at `corner`."""
    height, width = segments.shape
    top, left = corner
    y1, x1 = max(top, 0), max(left, 0)
    y2, x2 = min(top + mask.shape[0], height), min(left + mask.shape[1], width)
    if y1 >= y2 or x1 >= x2:
        return [0] * count
    inside = segments[y1:y2, x1:x2][mask[y1 - top : y2 - top, x1 - left : x2 - left]]
    return torch.bincount(inside, minlength=count + 1)[1:].tolist()
