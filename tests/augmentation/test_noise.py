"""Noise has the spread that is asked for, and stays in the range."""

import pytest
import torch
from torchvision import tv_tensors

from segexp.augmentation.noise import GaussianNoise
from segexp.errors import ConfigError
from segexp.functional.keys import generator


@pytest.mark.parametrize(("dtype", "most"), [(torch.uint8, 255), (torch.int32, 65535)])
def test_the_spread_is_a_share_of_the_range(dtype, most):
    sample = {"image": tv_tensors.Image(torch.full((4, 100, 100), most // 2, dtype=dtype))}
    out = GaussianNoise(probability=1, sigma=[0.05, 0.05])(sample, generator(0))["image"]
    assert out.dtype == dtype
    assert out.double().std().item() == pytest.approx(0.05 * most, rel=0.03)
    assert out.double().mean().item() == pytest.approx(most // 2, rel=0.01)


@pytest.mark.parametrize("value", [0, 255])
def test_values_stay_in_the_range(value):
    sample = {"image": tv_tensors.Image(torch.full((3, 50, 50), value, dtype=torch.uint8))}
    out = GaussianNoise(probability=1, sigma=[0.02, 0.02])(sample, generator(0))["image"].int()
    assert (out - value).abs().max() < 40
    assert (out == value).float().mean() > 0.45


def test_some_images_get_it_as_the_generator_says():
    sample = {"image": tv_tensors.Image(torch.full((1, 8, 8), 90, dtype=torch.uint8))}
    step = GaussianNoise(probability=0.3, sigma=[0.1, 0.2])
    outs = [step(sample, generator(seed))["image"] for seed in range(100)]
    assert 15 < sum(not torch.equal(out, sample["image"]) for out in outs) < 45
    assert all(torch.equal(out, step(sample, generator(seed))["image"]) for seed, out in enumerate(outs[:10]))


@pytest.mark.parametrize("parameters", [{"probability": 1.1}, {"sigma": [-0.1, 1]}, {"sigma": [2, 1]}, {"sigma": []}])
def test_refuses_what_makes_no_sense(parameters):
    with pytest.raises(ConfigError, match="GaussianNoise; fix: a probability of 0 to 1, sigmas of at least 0, least before greatest"):
        GaussianNoise(**parameters)
