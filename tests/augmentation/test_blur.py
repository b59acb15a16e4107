"""Blur against SciPy's."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchvision import tv_tensors

from segexp.augmentation.blur import GaussianBlur, blur
from segexp.errors import ConfigError
from segexp.functional.keys import generator


def noise(channels=3, most=256, dtype=torch.uint8, size=(30, 41)):
    return torch.randint(0, most, (channels, *size), generator=generator("noise")).to(dtype)


@pytest.mark.parametrize("sigma", [0.1, 0.7, 2.0, 4.3])
@pytest.mark.parametrize(("channels", "most", "dtype"), [(3, 256, torch.uint8), (5, 256, torch.uint8), (1, 65536, torch.int32)])
def test_is_scipys_gaussian(sigma, channels, most, dtype):
    image = noise(channels, most, dtype)
    out = blur(image, sigma)
    assert out.dtype == dtype
    for ours, source in zip(out.numpy(), image.double().numpy(), strict=True):
        theirs = ndimage.gaussian_filter(source, sigma, mode="mirror", radius=int(np.ceil(3 * sigma)))
        assert abs(ours - theirs).max() <= 0.51 + 1e-6 * most


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_a_picture_smaller_than_the_kernel_keeps_its_size_and_its_range(size):
    image = noise(size=size)
    out = blur(image, 3.0)
    assert out.shape == image.shape
    assert (out.amin((1, 2)) >= image.amin((1, 2))).all()
    assert (out.amax((1, 2)) <= image.amax((1, 2))).all()


def test_some_images_are_blurred_and_nothing_else_is_touched():
    sample = {"image": tv_tensors.Image(noise()), "semantic": torch.ones(30, 41)}
    step = GaussianBlur(probability=0.4, sigma=[1.0, 2.0])
    outs = [step(sample, generator(seed)) for seed in range(100)]
    assert 25 < sum(not torch.equal(out["image"], sample["image"]) for out in outs) < 55
    assert all(out["semantic"] is sample["semantic"] for out in outs)
    assert all(torch.equal(out["image"], step(sample, generator(seed))["image"]) for seed, out in enumerate(outs[:10]))


@pytest.mark.parametrize("parameters", [{"probability": -1}, {"sigma": [0, 1]}, {"sigma": [2, 1]}, {"sigma": [1]}])
def test_refuses_what_makes_no_sense(parameters):
    with pytest.raises(ConfigError, match="GaussianBlur; fix: a probability of 0 to 1, sigmas positive, least before greatest"):
        GaussianBlur(**parameters)
