"""Classes of whole pictures: which lines are written, in which colours, and what stands below."""

import math

import pytest
import torch

from segexp.types import ClassInfo, DataSpec, Prediction, Targets
from segexp.visualize.compare import comparison
from segexp.visualize.draw import STRIP
from segexp.visualize.label_errors import label_errors, true_lines
from segexp.visualize.object_errors import FOUND
from segexp.visualize.segment_errors import FALSE, MISSED

DATA = DataSpec(tuple(ClassInfo(name, False, (10 * i, 0, 99)) for i, name in enumerate("abcdefgh")), frozenset({"label"}))
SCORES = torch.tensor([0.02, 0.4, 0.1, 0.25, 0.03, 0.15, 0.01, 0.04])  # b d f c h e a g
MANY = torch.tensor([0.9, 0.7, 0.2, 0.8, 0.1, 0.05, 0.6, 0.01])  # a d b g c e f h


def compared(truth, scores):
    return label_errors(truth, Prediction(label_scores=scores), DATA)


@pytest.mark.parametrize(("true", "names", "place"), [(1, "bdfch", 1), (5, "bdfch", 3), (6, "bdfchg", 8)])
def test_of_one_class_the_true_one_alone_is_marked_and_written_wherever_it_stands(true, names, place):
    errors = compared(Targets(label=torch.tensor(true)), SCORES)
    lines = errors.lines(DATA.names)
    assert "".join(line.name for line in lines) == names and lines[0].value == "0.40"
    assert {line.name: line.color for line in lines} == dict.fromkeys(names, STRIP) | {DATA.names[true]: FOUND}
    assert errors.legend(DATA) == [(f"true class: {DATA.names[true]}", (10 * true, 0, 99)), (f"its place: {place} of 8", FOUND)]


def test_of_any_number_right_false_and_missed_ones_have_their_colours_and_are_counted():
    errors = compared(Targets(present=torch.tensor([1.0, 0, 0, 1, 0, 0, 0, 1])), MANY)
    lines = errors.lines(DATA.names)
    assert [(line.name, line.color) for line in lines] == [
        *(("a", FOUND), ("d", FOUND), ("b", FALSE), ("g", FALSE), ("c", STRIP)),  # the first five
        ("h", MISSED),
    ]
    assert errors.legend(DATA) == [("found 2", FOUND), ("missed 1", MISSED), ("false 2", FALSE)]
    assert [line.name for line in true_lines(errors, DATA)] == ["a", "d", "h"]


def test_a_picture_without_a_label_marks_nothing_and_says_so():
    errors = compared(Targets(label=torch.tensor(255)), SCORES)
    assert {line.color for line in errors.lines(DATA.names)} == {STRIP}
    assert errors.legend(DATA) == [("no true class", STRIP)]
    assert [line.name for line in true_lines(errors, DATA)] == ["none"]


def test_a_score_that_is_nan_goes_last():
    errors = compared(Targets(label=torch.tensor(0)), torch.tensor([math.nan, 0.2, 0.8, 0, 0, 0, 0, 0]))
    assert errors.order == [2, 1, 3, 4, 5, 6, 7, 0]


@pytest.mark.parametrize(("size", "shape"), [((48, 64), (3, 240, 320)), ((240, 320), (3, 240, 320))])
@pytest.mark.parametrize("truth", [Targets(label=torch.tensor(1)), Targets(present=torch.tensor([1.0, 0, 0, 1, 0, 0, 0, 1]))])
def test_pictures_are_enlarged_before_classes_are_written_each_on_its_line(truth, size, shape):
    image = torch.full((3, *size), 90, dtype=torch.uint8)
    pictures, legend = comparison(image, truth, Prediction(label_scores=MANY), DATA)
    assert {title: p.shape for title, p in pictures.items()} == dict.fromkeys(("image", "truth", "prediction"), shape)
    assert legend == compared(truth, MANY).legend(DATA)
    tops = [tuple(pictures["prediction"][:, 3 + 18 * row, 3].tolist()) for row in range(5)]
    assert tops == [line.color for line in compared(truth, MANY).lines(DATA.names)[:5]]


def test_a_label_beside_a_map_of_classes_leaves_the_picture_of_errors():
    maps = torch.zeros(40, 60, dtype=torch.long)
    truth, prediction = Targets(semantic=maps, label=torch.tensor(1)), Prediction(semantic=maps, label_scores=SCORES)
    pictures, _ = comparison(torch.zeros(3, 40, 60, dtype=torch.uint8), truth, prediction, DATA)
    assert "error" in pictures
