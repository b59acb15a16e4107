"""The rules for boxes: what is taken, clipped, left out and refused."""

import numpy as np
import pytest

from segexp.data.coco_json import Fault
from segexp.data.objects import VERDICTS, Tally, judge, refuse, summary, told
from segexp.errors import DataError

NAN = float("nan")
CASES = [
    ([1, 2, 5, 7], "", [1, 2, 5, 7]),
    ([0, 0, 20, 10], "", [0, 0, 20, 10]),
    ([-0.5, 0, 20.5, 10], "", [0, 0, 20, 10]),  # tools round
    ([-3, 2, 5, 12], "box-clipped", [0, 2, 5, 10]),
    ([NAN] * 4, "box-missing", [0] * 4),
    ([1, 2, 5, float("inf")], "box-missing", [0] * 4),
    ([5, 2, 1, 7], "box-inverted", [0] * 4),
    ([1, 7, 5, 2], "box-inverted", [0] * 4),
    ([5, 2, 5, 7], "box-empty", [0] * 4),
    ([20, 2, 25, 7], "box-outside", [0] * 4),
    ([-9, 2, 0, 7], "box-outside", [0] * 4),
]


@pytest.mark.parametrize(("box", "kind", "seen"), CASES)
def test_one_box(box, kind, seen):
    boxes, verdicts = judge(np.array([box], np.float64), (10, 20))
    assert (VERDICTS[verdicts[0]], boxes[0].tolist(), boxes.dtype) == (kind, seen, np.float32)


def test_all_boxes_of_a_file_at_once():
    boxes = np.array([box for box, _, _ in CASES], np.float64)
    assert [VERDICTS[v] for v in judge(boxes, np.full((len(boxes), 2), (10, 20)))[1]] == [kind for _, kind, _ in CASES]
    assert judge(np.zeros((0, 4)), (10, 20))[0].shape == (0, 4)


def test_nothing_lies_outside_a_picture_of_unknown_size():
    boxes, verdicts = judge(np.array([[-3.0, 2, 500, 700]]), (0, 0))
    assert (boxes.tolist(), verdicts.tolist()) == ([[-3, 2, 500, 700]], [0])


def test_it_is_put_into_words():
    boxes = np.array([[-3.0, 2, 5, 7], [5, 2, 5, 7]])
    found = list(told(judge(boxes, (10, 20))[1], boxes, ["image a, object 1", "image a, object 2"], (10, 20), ("a.xml",)))
    assert found[0].what == "image a, object 1: its box [-3.0, 2.0, 5.0, 7.0] reaches beyond the picture of 20x10, and is clipped"
    assert (found[1].kind, found[1].paths) == ("box-empty", ("a.xml",))


def test_the_count_names_the_first():
    faults = [Fault("box-empty", "image a, object 2: empty"), Fault("box-empty", "b"), Fault("box-clipped", "c"), Fault("mask-empty", "d")]
    assert summary(Tally(2, 9, faults)) == "3 of 9 objects are left out (2 box-empty, 1 mask-empty), e.g. image a, object 2: empty"
    assert summary(Tally(2, 9, faults[2:3])) == ""


def test_what_is_refused_is_raised_with_how_many_more():
    refuse([Fault("box-empty", "a"), Fault("box-clipped", "b")], "here")
    with pytest.raises(DataError, match=r"image a, object 1: no class; and 1 more; a\.xml; fix: segexp data check lists"):
        refuse([Fault("box-empty", "x"), *[Fault("object-class", "image a, object 1: no class", ("a.xml",))] * 2], "")
