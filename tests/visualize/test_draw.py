"""Outlines and text on pictures."""

import numpy as np
import pytest
import torch

from segexp.visualize.draw import STRIP, Line, corner_tag, free_place, legend_strip, line_width, listing, outlines, title_strip, write_on


@pytest.mark.parametrize(("size", "width"), [((96, 128), 1), ((360, 480), 1), ((1024, 2048), 3), ((10, 4000), 1)])
def test_lines_are_thicker_in_large_pictures(size, width):
    assert line_width(*size) == width


def test_outlines_leave_the_given_picture_alone_and_later_boxes_lie_on_top():
    image = torch.zeros(3, 20, 20, dtype=torch.uint8)
    boxes = torch.tensor([[2.0, 2.0, 10.0, 10.0], [2.0, 2.0, 6.0, 6.0]])
    picture = outlines(image, boxes, [(255, 0, 0), (0, 255, 0)], ["", ""])
    assert image.sum() == 0
    assert picture[:, 2, 2].tolist() == [0, 255, 0] and picture[:, 9, 9].tolist() == [255, 0, 0]
    assert int((picture.sum(0) > 0).sum()) == 28 + 12 - 7  # outlines of 8x8 and 4x4, less the seven pixels they share


def test_a_box_without_area_or_beyond_the_picture_is_drawn_where_it_can_be():
    image = torch.zeros(3, 20, 20, dtype=torch.uint8)
    picture = outlines(image, torch.tensor([[5.0, 5.0, 5.0, 5.0], [15.0, 15.0, 90.0, 90.0]]), [(9, 9, 9)] * 2, ["a", "b"])
    assert picture.shape == image.shape and picture[0, 5, 5] == 9 and picture[0, 15, 19] == 9


@pytest.mark.parametrize(("color", "text"), [((255, 255, 0), 0), ((0, 0, 90), 255)])
def test_text_is_black_on_bright_and_white_on_dark(color, text):
    picture = corner_tag(torch.full((3, 60, 60), 77, dtype=torch.uint8), "car", color)
    assert picture[:, 0, 0].tolist() == list(color)
    assert ((picture.int() - text).abs() < 60).all(0).any() and picture[:, 59, 59].tolist() == [77] * 3


def test_title_strip_has_the_asked_size_and_may_be_narrower_than_any_letter():
    assert title_strip("truth", 100, 24).shape == (3, 24, 100)
    assert (title_strip("truth", 3) == torch.tensor(STRIP)[:, None, None]).all()


def test_a_free_place_is_next_to_the_middle_and_within_the_mask():
    inside = np.zeros((20, 30), bool)
    inside[2:18, 3:28] = True
    assert free_place(inside, 4, 5) == (8, 13)  # the middle is at row 9.5 of 2..17, column 15 of 3..27
    inside[6:14, 10:20] = False
    y, x = free_place(inside, 4, 5)
    assert inside[y : y + 4, x : x + 5].all()
    assert free_place(inside, 17, 5) is free_place(inside, 4, 31) is None


def test_names_are_written_within_their_segment_or_not_at_all():
    image = torch.full((3, 60, 120), 90, dtype=torch.uint8)
    segments = torch.zeros(60, 120, dtype=torch.int32)
    segments[10:50, 10:100], segments[52:58, 10:16] = 1, 2
    changed = (write_on(image, segments, [("car 0.97", "car"), ("car",)]) != image).any(0)
    assert changed[segments == 1].any() and not changed[segments != 1].any()


def test_the_short_text_is_written_where_the_long_one_does_not_fit():
    image, segments = torch.full((3, 40, 120), 90, dtype=torch.uint8), torch.zeros(40, 120, dtype=torch.int32)
    segments[5:35, 10:40] = 1
    assert torch.equal(write_on(image, segments, [("vegetation 0.97", "ab")]), write_on(image, segments, [("ab",)]))
    assert not torch.equal(write_on(image, segments, [("ab",)]), image)


def test_a_legend_takes_as_many_lines_as_it_needs():
    entries = [("missed 2", (255, 0, 0)), ("false 1", (0, 255, 0))]
    wide, narrow = legend_strip(entries, 400, 20), legend_strip(entries, 90, 20)
    assert wide.shape == (3, 20, 400) and narrow.shape == (3, 40, 90)
    assert wide[:, 10, 8].tolist() == narrow[:, 10, 8].tolist() == [255, 0, 0] and narrow[:, 30, 8].tolist() == [0, 255, 0]


def colors_of_lines(picture, count):
    return [tuple(picture[:, 3 + 18 * row, 3].tolist()) for row in range(count)]


def test_a_list_has_each_line_on_its_colour_and_the_last_one_counts_those_without_room():
    image, red, blue = torch.full((3, 60, 90), 77, dtype=torch.uint8), (200, 0, 0), (0, 0, 200)
    picture = listing(image, [Line("a", "0.1", red), Line("b", "", blue)])
    assert colors_of_lines(picture, 3) == [red, blue, (77, 77, 77)] and (image == 77).all()
    assert colors_of_lines(listing(image, [Line("a", "", red)] * 3), 3) == [red, red, red]
    assert colors_of_lines(listing(image, [Line("a", "", red)] * 4), 3) == [red, red, STRIP]
    assert torch.equal(listing(image, []), image)


def test_a_long_name_in_a_list_is_shortened_what_follows_it_is_not():
    image = torch.full((3, 60, 90), 77, dtype=torch.uint8)
    long, other = (listing(image, [Line("of no end " * 9, value, (0, 0, 200))]) for value in ("0.11", "0.22"))
    assert (long[:, :, 88:] == 77).all() and not torch.equal(long[:, :, 40:], other[:, :, 40:])
