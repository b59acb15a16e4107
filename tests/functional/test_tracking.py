"""Numbers that stay with the things of a clip whose motion is known."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from segexp.data.shapes import Shapes
from segexp.functional.tracking import Tracker
from tests.functional.moving import SIZE, Mover, many, scene


def followed(movers, frames, tracker=None, hidden=(), seed=0, size=SIZE):
    """Of each frame {mover: (class, number, share of it that is seen)}; in `hidden` frames nothing but the ground is found."""
    tracker, rng, found = tracker or Tracker((1, 2)), np.random.default_rng(seed), []
    for frame in range(frames):
        segments, labels, owners = scene([] if frame in hidden else movers, frame, size, rng)
        numbers = tracker.update(segments, labels).tolist()
        assert all((number > 0) == (owner >= 0) for number, owner in zip(numbers, owners, strict=True))
        shares = [int((segments == s + 1).sum()) / max(movers[o].mask(frame, size).sum(), 1) for s, o in enumerate(owners)]
        found.append({o: (int(c), n, p) for o, c, n, p in zip(owners, labels, numbers, shares, strict=True) if o >= 0})
    return found


def switches(found, visible=1 / 3):
    """Times that a thing has another number than in the frame before, while at least this share of it is seen."""
    return [
        (frame, mover)
        for frame, (before, after) in enumerate(pairwise(found), 1)
        for mover in before.keys() & after.keys()
        if before[mover][1] != after[mover][1] and min(before[mover][2], after[mover][2]) >= visible
    ]


@pytest.mark.parametrize("seed", range(12))
def test_no_switch_while_a_thing_is_visible(seed):
    found = followed(many(seed), 40, seed=seed)
    assert switches(found) == []
    for frame in found:  # and no two things share a number
        assert len({(label, number) for label, number, _ in frame.values()}) == len(frame)


def test_things_that_pass_before_each_other_keep_their_numbers():
    found = followed([Mover(2, (36, 20), (0, 3), 9), Mover(2, (36, 76), (0, -3), 9)], 18)
    assert len(found[9]) == 2
    assert found[0][0][1] == found[-1][0][1] != found[0][1][1] == found[-1][1][1]


def test_what_is_left_beside_a_thing_that_is_left_is_that_thing():
    tracker, numbers = Tracker((1, 2)), []
    for label, left, width in ((1, 10, 8), (1, 18, 3), (2, 18, 3), (1, 50, 8)):  # it never overlaps itself; a class of its own; far away
        segments = torch.zeros(40, 60, dtype=torch.int32)
        segments[10:18, left : left + width] = 1
        numbers += tracker.update(segments, torch.tensor([label])).tolist()
    assert numbers == [1, 1, 1, 2]


@pytest.mark.parametrize(("away", "same"), [(1, True), (5, True), (6, False)])
def test_a_track_survives_a_few_frames_of_absence(away, same):
    found = followed([Mover(1, (36, 20), (0, 2), 8)], 20, hidden=range(6, 6 + away))
    assert (found[0][0][1] == found[-1][0][1]) is same


def test_a_fast_thing_is_found_where_it_should_be_by_now():
    fast = Mover(2, (36, 20), (0, 5), 6)  # 12 pixels wide: after an absence of two frames it overlaps its last mask nowhere
    assert followed([fast], 12, hidden=(5, 6))[-1][0][1] == 1


def test_classes_count_for_themselves_and_are_not_confused():
    found = followed([Mover(1, (20, 20), (0, 0), 8), Mover(2, (50, 20), (0, 0), 8)], 2)
    assert {mover: entry[:2] for mover, entry in found[1].items()} == {0: (1, 1), 1: (2, 1)}
    tracker, square = Tracker((1, 2)), torch.ones(4, 4, dtype=torch.int32)
    assert [tracker.update(square, torch.tensor([label])).tolist() for label in (1, 2, 1)] == [[1], [1], [1]]


def test_nothing_and_segments_without_a_pixel_have_no_number():
    tracker = Tracker((1,))
    assert tracker.update(torch.zeros(4, 4, dtype=torch.int32), torch.zeros(0, dtype=torch.int64)).tolist() == []
    assert tracker.update(torch.full((4, 4), 2, dtype=torch.int32), torch.tensor([1, 1])).tolist() == [0, 1]


def test_what_is_kept_does_not_grow_with_the_clip():
    tracker = Tracker((1,), patience=2)
    for frame in range(50):  # each frame a thing where none was: a track that ends at once
        segments = torch.zeros(60, 60, dtype=torch.int32)
        segments[frame : frame + 1, (17 * frame) % 60] = 1
        tracker.update(segments, torch.tensor([1]))
        assert len(tracker.tracks) <= 4
        assert all(track.last.mask.untyped_storage().nbytes() <= 4 for track in tracker.tracks.values())


@pytest.mark.parametrize("number", range(4))
def test_no_switch_where_a_camera_pans_over_a_street(number):
    scene = Shapes(height=96, width=384, train=4, difficulty=0.5).open("train")[number]
    whole, labels = scene["segments"].as_subclass(torch.Tensor), scene["segment_labels"]
    area = torch.bincount(whole.flatten().long(), minlength=len(labels) + 1)
    things = Shapes().spec.thing_ids
    tracker, found = Tracker(things), []
    for frame in range(160):  # there and back, up to 5 pixels a frame: things leave and come again
        left, top = int(128 * (1 - np.cos(frame * np.pi / 80))), frame % 3
        window = whole[top : top + 90, left : left + 128]
        here = torch.bincount(window.flatten().long(), minlength=len(labels) + 1)
        ids = here[1:].nonzero().flatten() + 1
        table = torch.zeros(len(here), dtype=torch.int32)
        table[ids] = torch.arange(1, len(ids) + 1, dtype=torch.int32)
        numbers = tracker.update(table[window.long()], labels[ids - 1]).tolist()
        seen = zip(ids.tolist(), labels[ids - 1].tolist(), numbers, (here / area)[ids].tolist(), strict=True)
        found.append({thing: (label, number, share) for thing, label, number, share in seen if label in things})
    assert sum(map(len, found)) > 160  # there is something to follow
    assert switches(found) == []
