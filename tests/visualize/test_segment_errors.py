"""Missed, false, merged and split things, on scenes of one row worked out by hand."""

import pytest
import torch

from segexp.types import ClassInfo, DataSpec, Prediction, Targets
from segexp.visualize.segment_errors import FALSE, MERGED, MISSED, SPLIT, UNLABELLED, draw_errors, segment_errors

DATA = DataSpec((ClassInfo("road"), ClassInfo("car", True), ClassInfo("dog", True)), frozenset({"segments"}))


def row(text, *labels):
    """`1122.` and the classes of 1, 2, ...: ten times as wide as high, so that lines are thin."""
    ids = torch.tensor([[0 if c == "." else int(c) for c in text]], dtype=torch.int32)
    return {"segments": ids, "segment_labels": torch.tensor(labels, dtype=torch.int64)}


def found(truth, guess, crowd=None):
    real = Targets(**truth, segment_crowd=None if crowd is None else torch.tensor(crowd))
    return segment_errors(real, Prediction(**guess), DATA)


def ids(which):
    return (which.nonzero().flatten() + 1).tolist()


@pytest.mark.parametrize(
    ("truth", "guess", "missed", "false", "merged", "split"),
    [
        (("1112233", 1, 0, 2), ("3331122", 0, 2, 1), [], [], [], []),  # the same, numbered otherwise
        (("1112222", 1, 0), ("1111111", 0), [1], [], [], []),
        (("1111111", 0), ("1112222", 1, 0), [], [1], [], []),
        (("11122233", 1, 1, 0), ("11111122", 1, 0), [], [], [1], []),  # two cars as one: neither missed nor false besides
        (("11111122", 1, 0), ("11122233", 1, 1, 0), [], [], [], [1]),
        (("11111122", 1, 1), ("11111111", 1), [], [], [1], []),  # it matches the large one, and hides the small one
        (("1112222", 1, 0), ("1112222", 2, 0), [1], [1], [], []),  # of another class
        (("1111222", 1, 0), ("1222222", 1, 0), [1], [1], [], []),  # too small a part
        (("1112222", 0, 0), ("1111111", 0), [], [], [], []),  # stuff has no errors of this kind
    ],
)
def test_each_wrong_thing_is_of_one_kind(truth, guess, missed, false, merged, split):
    errors = found(row(*truth), row(*guess))
    assert [ids(errors.missed), ids(errors.false), ids(errors.merged), ids(errors.split)] == [missed, false, merged, split]


def test_crowds_and_void_are_neither_missed_nor_make_false():
    errors = found(row("111222...", 1, 0), row("111222333", 1, 0, 2), crowd=[True, False])
    assert not errors.missed.any() and not errors.false.any() and not errors.wrong.any()
    assert errors.unlabelled.tolist() == [[True] * 3 + [False] * 3 + [True] * 3]
    alone = found(row("111222", 1, 0), row("111222", 2, 0), crowd=[True, False])  # a dog in a crowd of cars
    assert ids(alone.false) == [1]


def test_pixels_of_a_wrong_class_and_those_without_one():
    errors = found(row("111222", 0, 1), row("1122.2", 0, 1))
    assert errors.wrong.tolist() == [[False, False, True, False, True, False]]
    assert errors.legend()[:2] == [("missed 1", MISSED), ("false 1", FALSE)]  # an IoU of 2 / 4 is no match
    assert any(text == "wrong class 33.3 % of pixels" for text, _ in errors.legend())


def test_nothing_at_all():
    errors = found(row("....."), row("....."))
    assert [text for text, _ in errors.legend()][:5] == ["missed 0", "false 0", "merged 0", "split 0", "wrong class 0.0 % of pixels"]


def blended(color):
    return [round(0.3 * 45 + 0.7 * c) for c in color]


def test_their_colours():
    truth, guess = row("11122233344455566.", 1, 1, 0, 1, 0, 1), row("11111122233333344.", 1, 1, 0, 0)
    real, predicted = Targets(**truth), Prediction(**guess)
    picture = draw_errors(segment_errors(real, predicted, DATA), real, predicted, torch.full((3, 1, 18), 100, dtype=torch.uint8))
    at = [picture[:, 0, x].tolist() for x in range(18)]
    assert at[0] == at[4] == blended(MERGED)
    assert at[2] == [round(0.25 * c) for c in blended(MERGED)]  # the line between the two true cars
    assert at[6] == blended(FALSE) and at[10] == at[15] == blended(MISSED)
    assert at[13] == [45] * 3 and at[17] == list(UNLABELLED)
    real, predicted = Targets(**row("111111", 1)), Prediction(**row("111222", 1, 1))
    picture = draw_errors(segment_errors(real, predicted, DATA), real, predicted, torch.full((3, 1, 6), 100, dtype=torch.uint8))
    assert picture[:, 0, 0].tolist() == blended(SPLIT)
