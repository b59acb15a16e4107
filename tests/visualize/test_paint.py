"""Painted pixels, worked out by hand."""

import pytest
import torch

from segexp.errors import DataError
from segexp.types import ClassInfo, DataSpec, Prediction, Targets
from segexp.visualize.paint import IGNORED, error_map, paint
from segexp.visualize.panel import GUTTER, panel

DATA = DataSpec(
    (ClassInfo("sky", False, (100, 0, 0)), ClassInfo("car", True, (0, 200, 0)), ClassInfo("dog", True, (0, 0, 250))),
    frozenset({"segments"}),
)
RED = (213, 56, 47)  # a wrong pixel of a map where the image is 100: 0.8 of (255, 59, 48), 0.2 of 45


def flat(value, height=4, width=6):
    return torch.full((3, height, width), value, dtype=torch.uint8)


def at(picture, y, x):
    return tuple(picture[:, y, x].tolist())


def test_semantic_pixels_blend_with_the_class_colour_and_ignored_ones_are_dimmed():
    semantic = torch.tensor([[0, 1, 255]])
    picture = paint(flat(50, 1, 3), Targets(semantic=semantic), DATA, alpha=0.6)
    assert at(picture, 0, 0) == (80, 20, 20)  # 50 * 0.4 + (100, 0, 0) * 0.6
    assert at(picture, 0, 1) == (20, 140, 20)
    assert at(picture, 0, 2) == (20, 20, 20)


def test_an_id_without_a_class_is_dimmed_like_an_ignored_pixel():
    picture = paint(flat(50, 1, 2), Prediction(semantic=torch.tensor([[3, -1]])), DATA, alpha=0.6)
    assert at(picture, 0, 0) == at(picture, 0, 1) == (20, 20, 20)


def test_the_second_instance_of_a_thing_is_darker_and_borders_are_dark():
    segments = torch.tensor([[1, 1, 2, 2, 0, 0]], dtype=torch.int32)
    picture = paint(flat(0, 1, 6), Targets(segments=segments, segment_labels=torch.tensor([1, 1])), DATA, alpha=1.0)
    assert at(picture, 0, 0) == (0, 200, 0)
    assert at(picture, 0, 1) == (0, 50, 0)  # left of a border: a quarter of 200
    assert at(picture, 0, 2) == (0, 124, 0)  # golden step: (0.618 + 0.5) % 1 - 0.5 = -0.382; 200 * 0.618
    assert at(picture, 0, 5) == (0, 0, 0)


def test_two_segments_of_stuff_have_the_same_colour():
    segments = torch.tensor([[1, 1, 2, 2]], dtype=torch.int32)
    picture = paint(flat(0, 1, 4), Targets(segments=segments, segment_labels=torch.tensor([0, 0])), DATA, alpha=1.0)
    assert at(picture, 0, 0) == at(picture, 0, 3) == (100, 0, 0)


def test_the_order_of_kinds_can_be_chosen():
    both = Prediction(
        semantic=torch.zeros(1, 4, dtype=torch.long), segments=torch.ones(1, 4, dtype=torch.int32), segment_labels=torch.tensor([2])
    )
    assert at(paint(flat(0, 1, 4), both, DATA, alpha=1.0), 0, 0) == (0, 0, 250)
    assert at(paint(flat(0, 1, 4), both, DATA, alpha=1.0, order=("semantic", "segments")), 0, 0) == (100, 0, 0)


def test_small_masks_lie_on_large_ones_and_the_rest_is_the_image():
    masks = torch.zeros(2, 1, 6, dtype=torch.bool)
    masks[0, 0, 1], masks[1, 0, :4] = True, True
    picture = paint(flat(10, 1, 6), Targets(masks=masks, labels=torch.tensor([1, 2])), DATA, alpha=1.0)
    assert at(picture, 0, 2) == (0, 0, 250)
    assert at(picture, 0, 1) == (0, 50, 0)  # the small mask, at its border
    assert at(picture, 0, 5) == (10, 10, 10)


def test_a_box_is_outlined_on_its_half_open_pixels():
    boxes = torch.tensor([[10.0, 20.0, 30.0, 50.0]])
    picture = paint(flat(7, 60, 60), Prediction(boxes=boxes, labels=torch.tensor([2]), scores=torch.tensor([0.9])), DATA)
    assert at(picture, 49, 29) == at(picture, 40, 10) == at(picture, 49, 10) == (0, 0, 250)
    assert at(picture, 50, 29) == at(picture, 49, 30) == at(picture, 40, 20) == (7, 7, 7)


def test_a_box_carries_the_name_of_its_class_above_it():
    plain = Targets(boxes=torch.tensor([[10.0, 30.0, 50.0, 50.0]]))
    named = Targets(boxes=plain.boxes, labels=torch.tensor([2]))
    assert (paint(flat(7, 60, 60), plain, DATA)[:, :30] == 7).all()
    assert at(paint(flat(7, 60, 60), named, DATA), 29, 10) == (0, 0, 250)


def test_a_tag_twice_as_wide_as_its_box_is_left_out():
    narrow = Targets(boxes=torch.tensor([[10.0, 30.0, 16.0, 50.0]]), labels=torch.tensor([2]))
    assert (paint(flat(7, 60, 60), narrow, DATA)[:, :30] == 7).all()


def test_uncertain_detections_are_left_out():
    boxes = torch.tensor([[0.0, 0.0, 5.0, 3.0]])
    found = Prediction(boxes=boxes, masks=torch.ones(1, 4, 6, dtype=torch.bool), labels=torch.tensor([1]), scores=torch.tensor([0.2]))
    assert torch.equal(paint(flat(7), found, DATA), flat(7))
    assert not torch.equal(paint(flat(7), found, DATA, min_score=0.1), flat(7))


@pytest.mark.parametrize("nothing", [Targets(), Targets(boxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))])
def test_without_annotation_the_picture_is_a_copy_of_the_image(nothing):
    image = flat(7)
    picture = paint(image, nothing, DATA)
    assert torch.equal(picture, image) and picture.data_ptr() != image.data_ptr()


def test_no_instance_leaves_the_image():
    empty = Targets(masks=torch.zeros(0, 4, 6, dtype=torch.bool), labels=torch.zeros(0, dtype=torch.long))
    assert torch.equal(paint(flat(7), empty, DATA), flat(7))


def test_an_image_label_is_written_in_the_corner_in_its_class_colour():
    assert at(paint(flat(7, 60, 60), Targets(label=torch.tensor(1)), DATA), 0, 0) == (0, 200, 0)
    assert at(paint(flat(7, 60, 60), Targets(label=torch.tensor([0.0, 0.0, 1.0])), DATA), 0, 0) == (0, 0, 250)
    assert torch.equal(paint(flat(7, 60, 60), Targets(label=torch.tensor(255)), DATA), flat(7, 60, 60))


def test_a_map_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(DataError, match="the image has 4x6 pixels, semantic has 2x3; fix: paint at one size"):
        paint(flat(7), Targets(semantic=torch.zeros(2, 3, dtype=torch.long)), DATA)


def test_error_map_shows_wrong_right_and_ignored_pixels():
    truth, guess = torch.tensor([[0, 1, 255]]), torch.tensor([[0, 2, 2]])
    image = torch.tensor([60, 90, 150], dtype=torch.uint8)[:, None, None].expand(3, 1, 3)
    picture = error_map(Targets(semantic=truth), Prediction(semantic=guess), DATA, image)
    assert at(picture, 0, 0) == (45, 45, 45)  # mean 100, dimmed to 0.45
    assert at(picture, 0, 1) == RED
    assert at(picture, 0, 2) == IGNORED


def test_error_map_compares_the_classes_of_segments():
    truth = Targets(segments=torch.tensor([[1, 2, 0]]), segment_labels=torch.tensor([1, 2]))
    guess = Prediction(segments=torch.tensor([[2, 2, 1]]), segment_labels=torch.tensor([2, 1]))  # same classes, other ids
    picture = error_map(truth, guess, DATA, flat(100, 1, 3))
    assert at(picture, 0, 0) == (45, 45, 45)
    assert at(picture, 0, 1) == RED
    assert at(picture, 0, 2) == IGNORED


def test_error_map_needs_a_kind_in_common():
    with pytest.raises(DataError, match="no classes of pixels that can be compared"):
        error_map(Targets(label=torch.tensor(1)), Prediction(boxes=torch.zeros(0, 4)), DATA, flat(100))


def test_panel_enlarges_by_whole_factors_and_sets_side_by_side():
    small = torch.zeros(3, 60, 2, dtype=torch.uint8)
    small[0, :, 1] = 200
    picture = panel({"a": small, "b": flat(9, 60, 10)})  # 60 -> factor 4 -> 240 high, under a strip of 20
    assert picture.shape == (3, 20 + 240, 8 + GUTTER + 40)
    assert at(picture, 20, 3) == (0, 0, 0) and at(picture, 20, 4) == (200, 0, 0)
    assert at(picture, 259, 8 + GUTTER) == (9, 9, 9)


def test_panel_scales_to_the_highest_picture():
    picture = panel({"low": flat(5, 300, 30), "high": flat(9, 600, 10)})  # strip 600 // 18 = 33
    assert picture.shape == (3, 33 + 600, 60 + GUTTER + 10)
    assert at(picture, 632, 59) == (5, 5, 5)


def test_panel_writes_titles_and_shortens_those_that_do_not_fit():
    short, long = panel({"truth": flat(0, 200, 200)}), panel({"x" * 400: flat(0, 200, 200)})
    assert short.shape == long.shape == (3, 220, 200)
    assert (short[:, :20] > 128).any() and (long[:, :20, -3:] < 128).all()
