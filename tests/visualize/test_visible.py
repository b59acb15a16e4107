"""Pictures of any depth and any number of channels on a screen."""

import pytest
import torch

from segexp.datamodule import to_float
from segexp.visualize.visible import visible

DEEP = torch.tensor([[1000, 3000], [2000, 5000]], dtype=torch.int32)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_16_bit_is_stretched_to_its_range_whether_read_or_as_the_model_sees_it(channels):
    for image in (DEEP.expand(channels, 2, 2), to_float(DEEP.expand(channels, 2, 2))):
        seen = visible(image)
        assert (seen.dtype, tuple(seen.shape)) == (torch.uint8, (3, 2, 2))
        assert seen[0].tolist() == [[0, 128], [64, 255]]


def test_8_bit_stays_as_it_is():
    image = torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4) * 5
    assert torch.equal(visible(image), image)
    assert torch.equal(visible(to_float(image)), image)


def test_of_many_bands_the_first_three_of_two_the_first():
    bands = torch.arange(5, dtype=torch.uint8)[:, None, None].expand(5, 2, 2) * 50
    for image in (bands, to_float(bands)):
        assert visible(image)[:, 0, 0].tolist() == [0, 50, 100]
        assert visible(image[1:3])[:, 0, 0].tolist() == [50, 50, 50]


def test_one_common_stretch_keeps_colours_in_proportion():
    image = torch.tensor([0, 500, 1000], dtype=torch.int32)[:, None, None].expand(3, 2, 2)
    assert visible(image)[:, 0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("image", [torch.full((3, 2, 2), 700, dtype=torch.int32), torch.full((1, 2, 2), 0.01), torch.zeros(3, 2, 2)])
def test_one_value_throughout_is_black(image):
    assert visible(image).tolist() == torch.zeros(3, 2, 2).tolist()


def test_a_dark_float_picture_is_stretched_only_below_an_eighth():
    assert visible(torch.tensor([[[0.0, 0.124]]]))[0].tolist() == [[0, 255]]
    assert visible(torch.tensor([[[0.0, 0.125]]]))[0].tolist() == [[0, 32]]
