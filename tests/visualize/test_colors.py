"""Colours and names of annotations."""

import torch

from segexp.types import ClassInfo, DataSpec, Prediction, Targets
from segexp.visualize.colors import UNKNOWN, box_names, class_colors, image_label, instance_colors, pixel_colors, segment_names

DATA = DataSpec((ClassInfo("sky", False, (100, 0, 0)), ClassInfo("car", True, (0, 200, 0))), frozenset({"segments"}), ignore_index=9)


def test_class_colors_are_grey_where_the_class_is_unknown():
    assert class_colors(torch.tensor([1, 7, -1]), 3, DATA).tolist() == [[0, 200, 0], list(UNKNOWN), list(UNKNOWN)]
    assert class_colors(None, 2, DATA).tolist() == [list(UNKNOWN)] * 2


def test_pixel_colors_follow_the_ignore_index_of_the_data():
    assert pixel_colors(torch.tensor([[0, 9, 1]]), DATA).permute(1, 2, 0).tolist() == [[[100, 0, 0], [0, 0, 0], [0, 200, 0]]]


def test_instances_vary_within_their_class_only():
    colors = instance_colors(torch.tensor([1, 0, 1, 0, 1]), DATA)
    assert colors[0].tolist() == [0, 200, 0] and colors[1].tolist() == colors[3].tolist() == [100, 0, 0]
    torch.testing.assert_close(colors[2], torch.tensor([0.0, 200 * 0.618, 0.0]))  # shift -0.382
    torch.testing.assert_close(colors[4], torch.tensor([255 * 0.236, 200 + 55 * 0.236, 255 * 0.236]))  # 2 * 0.618 - 1


def test_a_longer_list_does_not_change_the_first_colours():
    labels = torch.ones(40, dtype=torch.long)
    assert torch.equal(instance_colors(labels[:5], DATA), instance_colors(labels, DATA)[:5])
    assert len(instance_colors(labels, DATA).unique(dim=0)) == 40


def test_box_names_carry_scores_where_there_are_any():
    boxes = torch.zeros(2, 4)
    assert box_names(Targets(boxes=boxes), DATA) == ["", ""]
    assert box_names(Targets(boxes=boxes, labels=torch.tensor([1, 5])), DATA) == ["car", "5"]
    assert box_names(Prediction(boxes=boxes, labels=torch.tensor([0, 1]), scores=torch.tensor([0.5, 0.999])), DATA) == [
        "sky 0.50",
        "car 1.00",
    ]


def test_image_label():
    assert image_label(Prediction(label_scores=torch.tensor([0.2, 0.8])), DATA) == ("car 0.80", 1)
    assert image_label(Targets(label=torch.tensor(0)), DATA) == ("sky", 0)
    assert image_label(Targets(label=torch.tensor([0.9, 0.6])), DATA) == ("sky, car", 0)
    assert image_label(Targets(label=torch.tensor(9)), DATA)[0] == image_label(Targets(), DATA)[0] == ""


def test_a_number_decides_the_colour_whatever_the_order():
    first, second = instance_colors(torch.tensor([1, 1, 0]), DATA)[:2]
    numbered = instance_colors(torch.tensor([0, 1, 1]), DATA, torch.tensor([0, 2, 1]))
    assert torch.equal(numbered[1], second) and torch.equal(numbered[2], first) and numbered[0].tolist() == [100, 0, 0]


def test_what_is_written_on_segments():
    labels = torch.tensor([0, 1])
    assert segment_names(Targets(segment_labels=labels), DATA) == [("sky",), ("car",)]
    assert segment_names(Targets(segment_labels=labels, segment_crowd=torch.tensor([False, True])), DATA)[1] == ("car (crowd)", "car")
    scored = Prediction(segment_labels=labels, segment_scores=torch.tensor([0.5, 0.97]))
    assert segment_names(scored, DATA) == [("sky 0.50", "sky"), ("car 0.97", "car")]
    assert segment_names(scored, DATA, torch.tensor([0, 12])) == [("sky",), ("car 12", "12")]
