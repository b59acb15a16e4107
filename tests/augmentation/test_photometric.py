"""One matrix against torchvision's changes one after the other."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from segexp.augmentation.photometric import PIECE, Photometric, recolor
from segexp.errors import ConfigError
from segexp.functional.keys import generator

THEIRS = {"brightness": F.adjust_brightness, "contrast": F.adjust_contrast, "saturation": F.adjust_saturation}


def picture(channels=3, dtype=torch.uint8, low=100, high=150, seed=0):
    """Values in the middle of the range, so that no single change clips."""
    scale = 257 if dtype == torch.int32 else 1
    values = torch.randint(low * scale, high * scale, (channels, 16, 20), generator=generator("picture", seed))
    return {"image": tv_tensors.Image(values.to(dtype)), "semantic": torch.zeros(16, 20), "meta": {"id": "train/a"}}


def changed(sample, *, seed=0, **parameters):
    return Photometric(**parameters)(sample, generator("jitter", seed))["image"].as_subclass(torch.Tensor)


@pytest.mark.parametrize("name", THEIRS)
@settings(max_examples=30, deadline=None)
@given(factor=st.floats(0.0, 1.6), seed=st.integers(0, 1000))
def test_each_change_is_torchvisions(name, factor, seed):
    sample = picture(seed=seed)
    theirs = THEIRS[name](sample["image"].as_subclass(torch.Tensor).float() / 255, factor) * 255
    ours = changed(sample, **{name: [factor, factor]}).float()
    assert (ours - theirs.clamp(0, 255)).abs().max() <= 0.51


@settings(max_examples=30, deadline=None)
@given(
    st.permutations(sorted(THEIRS)), st.lists(st.floats(0.7, 1.3).filter(lambda f: f != 1), min_size=3, max_size=3), st.integers(0, 1000)
)
def test_changes_are_folded_in_the_order_that_is_drawn(order, factors, seed):
    sample, spans = picture(seed=seed), {name: [f, f] for name, f in zip(sorted(THEIRS), factors, strict=True)}
    mean = sample["image"].double().mean((1, 2)).numpy()
    places = [place for name in spans for place in ((order.index(name) + 1) / 9, 0.5)]
    ours = recolor(sample["image"].as_subclass(torch.Tensor), *Photometric(**spans).draw(mean, [0.0, *places])).float()
    theirs = sample["image"].as_subclass(torch.Tensor).float() / 255
    for name in order:
        theirs = THEIRS[name](theirs, spans[name][0])
    assert (ours - theirs * 255).abs().max() <= 0.51


def test_saturation_and_hue_follow_one_another_in_either_order():
    mean, numbers = np.full(3, 100.0), [0.5, 0.5, 0.5]
    turn, fade = (Photometric(**{name: [0.25, 0.25]}).draw(mean, numbers)[0] for name in ("hue", "saturation"))
    both = Photometric(hue=[0.25, 0.25], saturation=[0.25, 0.25])
    assert not np.allclose(turn @ fade, fade @ turn, atol=0.05)
    seen = set()
    for seed in range(20):
        matrix, _ = both.draw(mean, torch.rand(5, generator=generator("order", seed)).tolist())
        assert np.allclose(matrix, turn @ fade) or np.allclose(matrix, fade @ turn)
        seen.add(np.allclose(matrix, turn @ fade))
    assert seen == {True, False}


@pytest.mark.parametrize("shift", [-1 / 3, 0.0, 1 / 3])
def test_hue_is_torchvisions_at_thirds_of_a_turn(shift):
    sample = picture(low=0, high=256)
    theirs = F.adjust_hue(sample["image"].as_subclass(torch.Tensor).float() / 255, shift) * 255
    assert (changed(sample, hue=[shift, shift]).float() - theirs).abs().max() <= 0.51


def test_between_the_thirds_hue_turns_about_the_grey_axis():
    image = torch.tensor([[120.0, 140], [100, 110], [80, 50]]).to(torch.uint8)[:, None]  # orange tones, far from the limits
    out = changed({"image": tv_tensors.Image(image)}, hue=[0.1, 0.1])

    def angle(x):
        red, green, blue = x.double()
        return torch.atan2(3**0.5 * (green - blue), 2 * red - green - blue)  # of the hue hexagon

    assert torch.allclose(torch.rad2deg(angle(out) - angle(image)), torch.tensor(36.0, dtype=torch.float64), atol=1.5)
    assert (out.float().mean(0) - image.float().mean(0)).abs().max() <= 0.5


def test_grey_is_torchvisions():
    sample = picture(low=0, high=256)
    theirs = F.rgb_to_grayscale(sample["image"].as_subclass(torch.Tensor).float(), 3)
    assert (changed(sample, grayscale=1.0).float() - theirs).abs().max() <= 0.51


def test_values_are_rounded_and_clipped_once():
    image = torch.tensor([[[0, 1, 100, 255]]])
    assert recolor(image.to(torch.uint8), np.array([[1.5]]), np.array([-10.0])).tolist() == [[[0, 0, 140, 255]]]
    assert recolor(image.int(), np.array([[300.0]]), np.array([0.4])).tolist() == [[[0, 300, 30000, 65535]]]


def test_large_images_are_changed_piece_by_piece():
    image = torch.randint(0, 256, (3, 300, 301), generator=generator("large"), dtype=torch.uint8)
    assert image[0].numel() > 2 * PIECE
    assert torch.equal(recolor(image, np.eye(3), np.zeros(3)), image)
    assert torch.equal(recolor(image, np.eye(3)[[2, 0, 1]], np.zeros(3)), image[[2, 0, 1]])


@pytest.mark.parametrize(("channels", "dtype"), [(1, torch.uint8), (5, torch.uint8), (1, torch.int32), (3, torch.int32)])
def test_any_channels_and_16_bits_take_brightness_and_contrast(channels, dtype):
    sample = picture(channels, dtype)
    image = sample["image"].as_subclass(torch.Tensor).double()
    bright = changed(sample, brightness=[1.2, 1.2])
    assert bright.dtype == dtype
    assert (bright - image * 1.2).abs().max() <= 0.51
    middle = image.mean((1, 2), keepdim=True)
    if channels == 3:
        middle = (torch.tensor([0.2989, 0.587, 0.114]).double()[:, None, None] * middle).sum(0)
    assert (changed(sample, contrast=[0.5, 0.5]) - (image + middle) / 2).abs().max() <= 0.52


@pytest.mark.parametrize(
    ("channels", "dtype", "parameters", "what"),
    [
        (1, torch.uint8, {"saturation": 0.2}, "saturation need RGB images of 8 bits; this has 1 channels of uint8 values"),
        (3, torch.int32, {"hue": 0.1, "grayscale": 0.5}, "hue, grayscale need RGB images of 8 bits; this has 3 channels of 16-bit values"),
    ],
)
def test_refuses_colour_where_there_is_none(channels, dtype, parameters, what):
    with pytest.raises(ConfigError) as caught:
        changed(picture(channels, dtype), **parameters)
    assert caught.value.what == what
    assert caught.value.where == "augmentation, Photometric, sample train/a"
    assert caught.value.fix == "set them to 0; brightness and contrast work"


def test_the_spans_are_those_of_color_jitter():
    jitter = Photometric(brightness=0.4, contrast=1.5, saturation=[0.5, 0.9], hue=0.1)
    assert jitter.spans == {"brightness": (0.6, 1.4), "contrast": (0.0, 2.5), "saturation": (0.5, 0.9), "hue": (-0.1, 0.1)}
    assert Photometric(brightness=0, contrast=[1, 1]).spans == {}


def test_the_generator_alone_decides():
    parameters = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "probability": 0.8}
    sample = picture()
    outs = [changed(sample, seed=seed, **parameters) for seed in range(40)]
    assert all(torch.equal(out, changed(sample, seed=seed, **parameters)) for seed, out in enumerate(outs))
    assert 2 <= sum(torch.equal(out, sample["image"]) for out in outs) <= 16
    assert len({out.numpy().tobytes() for out in outs}) > 20
    assert torch.equal(changed(sample), sample["image"])


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"brightness": -0.1}, "brightness -0.1; augmentation, Photometric; fix: a number of at least 0, or [least, greatest], that"),
        ({"contrast": [1.2, 0.8]}, "contrast [1.2, 0.8]"),
        (
            {"hue": 0.6},
            "hue 0.6; augmentation, Photometric; fix: a number of at least 0, or [least, greatest], that gives amounts within -0.5 to",
        ),
        ({"saturation": [1, 2, 3]}, "saturation [1, 2, 3]"),
        ({"probability": 2}, "probability 2; augmentation, Photometric; fix: a probability, 0 to 1"),
    ],
)
def test_refuses_what_makes_no_sense(parameters, text):
    with pytest.raises(ConfigError) as caught:
        Photometric(**parameters)
    assert str(caught.value).startswith(text)
