"""The window that is drawn, and what evaluation sees."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors

from segexp.augmentation.scale_crop import ScaleCrop
from segexp.errors import ConfigError
from segexp.functional.keys import generator


def sample(height=36, width=48):
    ramp = torch.arange(height * width).view(height, width)
    labels = (ramp % 7).to(torch.uint8)
    return {
        "image": tv_tensors.Image((ramp % 256).to(torch.uint8).expand(3, -1, -1)),
        "semantic": tv_tensors.Mask(labels),
        "meta": {"id": "a"},
    }


@settings(max_examples=200, deadline=None)
@given(
    st.integers(10, 60),
    st.integers(10, 60),
    st.integers(8, 40),
    st.integers(8, 40),
    st.floats(0.3, 2.0),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_a_window_lies_in_the_image_and_fills_the_crop(height, width, crop_h, crop_w, scale, pad, seed):
    augment = ScaleCrop(crop=[crop_h, crop_w], scale=scale, jitter=[0.75, 1.6], pad=pad)
    window = augment.draw((height, width), generator(seed))
    assert window.top >= 0
    assert window.left >= 0
    assert window.top + window.height <= height
    assert window.left + window.width <= width
    assert window.size[0] <= crop_h
    assert window.size[1] <= crop_w
    if not pad:
        assert window.size == (crop_h, crop_w)


def test_the_same_generator_gives_the_same_sample_and_another_another():
    augment = ScaleCrop(crop=[20, 24], jitter=[0.75, 1.5])
    first, again, other = (augment(sample(), generator(s)) for s in (1, 1, 2))
    assert torch.equal(first["image"], again["image"])
    assert torch.equal(first["semantic"], again["semantic"])
    assert not torch.equal(first["semantic"], other["semantic"])


def test_flips_half_of_the_time_and_never_when_told():
    windows = [ScaleCrop(crop=[8, 8]).draw((20, 20), generator("flip", i)) for i in range(400)]
    assert 150 < sum(w.flip for w in windows) < 250
    assert not any(ScaleCrop(crop=[8, 8], flip=0).draw((20, 20), generator(i)).flip for i in range(100))


def test_evaluation_scales_only():
    out = ScaleCrop(crop=[8, 8], scale=0.5, jitter=[0.5, 2])(sample(), None)
    assert out["image"].shape == (3, 18, 24)
    assert out["semantic"].shape == (18, 24)
    same = ScaleCrop(crop=[8, 8])(sample(), None)
    assert torch.equal(same["semantic"], sample()["semantic"])


def test_small_images_are_padded_or_enlarged():
    size = (36, 48)
    assert ScaleCrop(crop=[36, 48], scale=0.5, pad=True).draw(size, generator(0)).size == (18, 24)
    assert ScaleCrop(crop=[36, 48], scale=0.5).draw(size, generator(0)).size == (36, 48)


def test_refuses_what_makes_no_sense():
    with pytest.raises(ConfigError, match="positive, least before greatest"):
        ScaleCrop(jitter=[2, 1])
