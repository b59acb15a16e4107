"""The window that is drawn, and what evaluation sees."""

import hashlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors

from segexp.augmentation.balance import largest_share
from segexp.augmentation.scale_crop import ScaleCrop
from segexp.config import compose, make
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


def noise(height=45, width=60):
    """A sample without any structure that a mistake could hide in."""
    rng = generator("noise")
    return {
        "image": tv_tensors.Image(torch.randint(0, 256, (3, height, width), generator=rng, dtype=torch.uint8)),
        "semantic": tv_tensors.Mask(torch.randint(0, 11, (height, width), generator=rng, dtype=torch.uint8)),
        "segments": tv_tensors.Mask(torch.randint(0, 9, (height, width), generator=rng, dtype=torch.int32)),
        "segment_labels": torch.arange(8),
        "segment_crowd": torch.zeros(8, dtype=torch.bool),
        "meta": {"id": "a"},
    }


def test_the_defaults_draw_what_the_first_version_drew():
    digest = hashlib.sha256()
    for pad in (False, True):
        for seed in range(20):
            rng = generator("hash", seed)
            augment = ScaleCrop(crop=[24, 30], jitter=[0.5, 2.0], pad=pad)
            digest.update(repr(tuple(augment.draw((45, 60), rng))[:6]).encode())
            out = augment(noise(), generator("hash", seed))
            for name in ("semantic", "segments", "segment_labels"):
                digest.update(out[name].contiguous().numpy().tobytes())
    assert digest.hexdigest() == "63766191e3f1d219f03893a10d49120763e1b5131bf35d5b48fc5efe53b5a22c"


@pytest.mark.parametrize(
    "option",
    [
        {"rotate": 20},
        {"elastic": 3},
        {"vertical_flip": 0.5},
        {"steps": {"nothing": lambda sample, rng: sample}},
        {"max_class_share": 0.999},
    ],
)
def test_an_option_does_not_change_what_the_others_draw(option):
    plain, with_it = ScaleCrop(crop=[24, 30], jitter=[0.5, 2.0]), ScaleCrop(crop=[24, 30], jitter=[0.5, 2.0], **option)
    for seed in range(20):
        before, after = (augment.draw((45, 60), generator(seed)) for augment in (plain, with_it))
        assert after[:6] == before[:6]


@pytest.mark.parametrize("pad", [False, True])
def test_quarter_turns_fill_the_crop_and_are_drawn_evenly(pad):
    augment = ScaleCrop(crop=[20, 28], jitter=[0.75, 1.5], quarter_turns=True, pad=pad)
    turns = []
    for seed in range(80):
        out = augment(sample(60, 60), generator(seed))
        turns.append(augment.draw((60, 60), generator(seed)).turns)
        height, width = out["semantic"].shape
        assert out["image"].shape == (3, height, width)
        assert (height <= 20 and width <= 28) if pad else (height, width) == (20, 28)
    assert all(turns.count(quarter) > 8 for quarter in range(4))


def test_angles_flips_and_bends_are_drawn_as_told():
    augment = ScaleCrop(rotate=30, vertical_flip=0.25, elastic=2)
    windows = [augment.draw((40, 50), generator("angles", i)) for i in range(400)]
    angles = torch.tensor([w.angle for w in windows])
    assert -30 <= angles.min() < -25
    assert 25 < angles.max() <= 30
    assert 70 < sum(w.upend for w in windows) < 130
    assert torch.stack([w.bend for w in windows]).std().item() == pytest.approx(2, rel=0.05)


def test_a_turned_picture_ignores_what_lies_beyond_it():
    out = ScaleCrop(rotate=180, flip=0)(sample(), generator(4))
    assert set(out["semantic"].unique().tolist()) <= {*range(7), 255}
    assert (out["semantic"] == 255).any()
    assert not (ScaleCrop(rotate=180)(sample(), None)["semantic"] == 255).any()  # in evaluation nothing turns


def road(height=40, width=60):
    """Class 0 but for a strip of class 1 at the right."""
    labels = torch.zeros(height, width, dtype=torch.uint8)
    labels[:, 45:] = 1
    return sample(height, width) | {"semantic": tv_tensors.Mask(labels)}


def share(augment, seeds=150):
    shares = [largest_share(augment(road(), generator("share", seed))["semantic"]) for seed in range(seeds)]
    return sum(s > 0.75 for s in shares) / seeds


def test_crops_of_one_class_are_placed_again():
    assert share(ScaleCrop(crop=[20, 20])) > 0.6
    assert share(ScaleCrop(crop=[20, 20], max_class_share=0.75)) < 0.1  # ten more tries of about a quarter each


def test_crops_are_placed_around_classes():
    seen = dict.fromkeys((0.0, 1.0), 0)
    for p in seen:
        augment = ScaleCrop(crop=[10, 10], center_on_class=p)
        seen[p] = sum(bool((augment(road(), generator("around", s))["semantic"] == 1).any()) for s in range(200))
    assert seen[0.0] < 90 < 100 < seen[1.0]


def test_boxes_alone_can_be_cropped_turned_and_placed():
    plain = {
        "image": sample()["image"],
        "boxes": torch.tensor([[4.0, 4, 12, 10], [30, 20, 40, 30]]),
        "labels": torch.tensor([0, 1]),
        "meta": {"id": "a"},
    }
    augment = ScaleCrop(crop=[24, 24], rotate=10, elastic=1, quarter_turns=True, max_class_share=0.9, center_on_class=0.5)
    for seed in range(20):
        out = augment(plain, generator(seed))
        assert len(out["boxes"]) == len(out["labels"]) <= 2
        assert ((out["boxes"] >= 0) & (out["boxes"] <= 24)).all()
    assert len(plain["boxes"]) == 2  # the sample itself stays


def test_steps_follow_in_order_with_generators_of_their_own():
    seen = []

    def note(name):
        def step(given, rng):
            seen.append((name, torch.rand((), generator=rng).item()))
            return given | {"steps": [*given.get("steps", []), name]}

        return step

    first = ScaleCrop(steps={"a": note("a"), "b": note("b"), "off": None})(sample(), generator(1))
    again = ScaleCrop(steps={"b": note("b")})(sample(), generator(1))
    assert (first["steps"], again["steps"]) == (["a", "b"], ["b"])
    assert seen[1] == seen[2]  # b draws the same without a
    assert seen[0][1] != seen[1][1]
    assert "steps" not in ScaleCrop(steps={"a": note("a")})(sample(), None)


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("flip", 1.5, "a number from 0 to 1"),
        ("rotate", -5, "a number from 0 to 180"),
        ("elastic", -1, "0 or more"),
        ("max_class_share", 75, "a number from 0 to 1"),
    ],
)
def test_refuses_numbers_out_of_range(key, value, fix):
    with pytest.raises(ConfigError) as caught:
        ScaleCrop(**{key: value})
    assert (caught.value.what, caught.value.where, caught.value.fix) == (f"{key} {value}", f"augmentation.{key}", fix)


@pytest.mark.parametrize("option", ["scale_crop", "strong", "microscopy"])
def test_the_shipped_options_augment(option):
    augment = make(compose("train", [f"augmentation={option}", "augmentation.crop=[24,32]"]).augmentation)
    outs = [augment(noise(), generator("shipped", seed)) for seed in (1, 1, 2)]
    assert torch.equal(outs[0]["image"], outs[1]["image"])
    assert torch.equal(outs[0]["semantic"], outs[1]["semantic"])
    assert not torch.equal(outs[0]["image"], outs[2]["image"])
    assert all(out["image"].dtype == torch.uint8 for out in outs)
    assert all(set(out["semantic"].unique().tolist()) <= {*range(11), 255} for out in outs)
