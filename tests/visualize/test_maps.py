"""Heatmaps and vector fields as pictures."""

import pytest
import torch

from segexp.visualize.maps import field_picture, heat_picture

IMAGE = torch.full((3, 60, 80), 100, dtype=torch.uint8)


def test_the_peak_is_white_and_where_there_is_no_heat_the_dimmed_image():
    heat = torch.zeros(1, 60, 80)
    heat[0, 30, 40], heat[0, 10, 10] = 0.4, 0.2
    picture = heat_picture(IMAGE, heat)
    assert picture[:, 30, 40].tolist() == [255, 255, 255]
    assert picture[:, 10, 10].tolist() == [230, 60, 40]  # half of the peak: the middle of the ramp
    assert picture[:, 50, 70].tolist() == [45, 45, 45]


def test_a_faint_heatmap_stays_dark():
    picture = heat_picture(IMAGE, torch.full((1, 15, 20), 0.02))
    assert int(picture.max()) < 100


def test_true_centres_are_ringed():
    picture = heat_picture(IMAGE, torch.zeros(1, 15, 20), torch.tensor([[30.0, 40.0]]))
    assert picture[:, 30, 36].tolist() == [255] * 3 and picture[:, 30, 40].tolist() == [45] * 3


def colour(dy, dx):
    field = torch.tensor([dy, dx])[:, None, None].expand(2, 15, 20)
    picture, longest = field_picture(IMAGE, field, torch.ones(60, 80, dtype=torch.bool))
    assert longest == pytest.approx((dy**2 + dx**2) ** 0.5)
    return picture[:, 0, 0], picture


@pytest.mark.parametrize(("dy", "dx"), [(0.0, 5.0), (5.0, 0.0), (0.0, -5.0), (-3.0, 4.0)])
def test_the_wheel_shows_the_colour_of_the_direction(dy, dx):
    own, picture = colour(dy, dx)
    side = 60 // 5
    middle, length = (60 - (side - 1) / 2 - 0.5, 80 - (side - 1) / 2 - 0.5), (dy**2 + dx**2) ** 0.5
    y, x = round(middle[0] - 0.5 + 4 * dy / length), round(middle[1] - 0.5 + 4 * dx / length)
    assert (picture[:, y, x].float() - own.float()).abs().max() < 100  # as bright as 4 of 6 pixels, and of the same hue
    assert int(picture[:, y, x].argmax()) == int(own.argmax())


def test_opposite_ways_have_other_colours_and_short_vectors_are_darker():
    right, left = colour(0.0, 5.0)[0], colour(0.0, -5.0)[0]
    assert (right.int() - left.int()).abs().max() > 150
    field = torch.zeros(2, 60, 80)
    field[1, :, :40], field[1, :, 40:] = 1.0, 10.0
    picture, _ = field_picture(IMAGE, field, torch.ones(60, 80, dtype=torch.bool))
    assert picture[:, 0, 0].int().sum() < 0.6 * picture[:, 0, 79].int().sum()


def test_pixels_outside_of_things_are_the_dimmed_image():
    picture, longest = field_picture(IMAGE, torch.ones(2, 15, 20), torch.zeros(60, 80, dtype=torch.bool))
    assert picture[:, 0, 0].tolist() == [45, 45, 45] and longest == 1.0
