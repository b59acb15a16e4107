"""The adapter: transforms by name, keyed by the generator alone, labels that stay labels."""

import builtins
import random

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from segexp.augmentation.albumentations import Albumentations
from segexp.augmentation.scale_crop import ScaleCrop
from segexp.config import compose, make
from segexp.errors import ConfigError
from segexp.functional.keys import generator

A = pytest.importorskip("albumentations", reason="pip install 'segexp[albumentations]'")


def sample(channels=3, dtype=torch.uint8, instances=True):
    rng = generator("sample")
    image = torch.randint(0, 256 if dtype == torch.uint8 else 65536, (channels, 40, 52), generator=rng).to(dtype)
    segments = torch.arange(40 * 52).view(40, 52) // 500
    out = {
        "image": tv_tensors.Image(image),
        "semantic": tv_tensors.Mask((segments * 50).to(torch.uint8)),  # 0, 50, 100, 150, 200
        "segments": tv_tensors.Mask((segments + 1).int()),
        "segment_labels": torch.arange(5),
        "segment_crowd": torch.zeros(5, dtype=torch.bool),
        "meta": {"id": "train/a"},
    }
    if instances:
        out |= {"masks": tv_tensors.Mask(torch.stack([segments == 1, segments == 4])), "labels": torch.tensor([3, 4])}
        out |= {"boxes": torch.zeros(2, 4), "crowd": torch.zeros(2, dtype=torch.bool)}
    return out


def step(*transforms):
    return Albumentations(transforms=list(transforms))


def test_a_flip_moves_everything():
    given = sample()
    out = step({"name": "HorizontalFlip", "p": 1.0})(given, generator(0))
    for name in ("image", "semantic", "segments", "masks"):
        assert torch.equal(out[name], given[name].flip(-1))
        assert out[name].dtype == given[name].dtype
    assert "boxes" not in out  # they follow from the masks
    assert torch.equal(given["image"], sample()["image"])


def test_what_lies_beyond_the_picture_is_ignored_and_what_left_it_is_dropped():
    move = {"name": "Affine", "translate_px": {"x": 0, "y": 20}, "p": 1.0}
    out = step(move)(sample(), generator(0))
    assert (out["semantic"][:20] == 255).all()
    assert (out["segments"][:20] == 0).all()
    assert torch.equal(out["semantic"][20:], sample()["semantic"][:20])
    assert out["segments"].unique().tolist() == [0, 1, 2, 3]
    assert out["segment_labels"].tolist() == [0, 1, 2]
    assert (out["masks"].shape, out["labels"].tolist()) == ((1, 40, 52), [3])


@pytest.mark.parametrize("name", ["GridDistortion", "ElasticTransform", "Rotate", "RandomScale", "CoarseDropout", "Perspective"])
def test_labels_that_were_not_there_do_not_appear(name):
    moved = step({"name": name, "p": 1.0})
    for seed in range(5):
        out = moved(sample(), generator(seed))
        assert set(out["semantic"].unique().tolist()) <= {0, 50, 100, 150, 200, 255}
        assert out["segments"].max() <= len(out["segment_labels"])
        assert torch.equal(_classes(out), out["semantic"])
        assert out["image"].shape[1:] == out["semantic"].shape == out["masks"].shape[1:]


def _classes(out):
    table = torch.cat([torch.tensor([255]), out["segment_labels"] * 50]).to(torch.uint8)
    return table[out["segments"].long()]


def test_the_generator_alone_decides():
    chain = [{"name": "HorizontalFlip"}, {"name": "GaussNoise"}, {"name": "OneOf", "transforms": [{"name": "CLAHE"}, {"name": "Rotate"}]}]
    first, second = step(*chain), step(*chain)
    outs = []
    for seed in range(12):
        outs.append(first(sample(), generator(seed)))
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
    for seed in reversed(range(12)):
        again = second(sample(), generator(seed))
        assert torch.equal(again["image"], outs[seed]["image"])
        assert torch.equal(again["semantic"], outs[seed]["semantic"])
    assert len({out["image"].numpy().tobytes() for out in outs}) > 6


def test_two_transforms_draw_numbers_of_their_own():
    both = step({"name": "HorizontalFlip"}, {"name": "VerticalFlip"})
    source, seen = sample()["semantic"], set()
    for seed in range(40):
        out = both(sample(), generator(seed))["semantic"]
        seen |= {dims for dims in ((), (0,), (1,), (0, 1)) if torch.equal(out, source.flip(dims))}
    assert seen == {(), (0,), (1,), (0, 1)}


def test_16_bits_and_any_channels_pass():
    flip = step({"name": "VerticalFlip", "p": 1.0})
    for channels, dtype in ((1, torch.uint8), (5, torch.uint8), (1, torch.int32), (3, torch.int32)):
        given = sample(channels, dtype)
        out = flip(given, generator(0))["image"]
        assert out.dtype == dtype
        assert torch.equal(out, given["image"].flip(-2))


def test_without_instances_and_without_labels():
    given = sample(instances=False) | {"masks": tv_tensors.Mask(torch.zeros(0, 40, 52, dtype=torch.bool)), "labels": torch.zeros(0).long()}
    out = step({"name": "RandomCrop", "height": 16, "width": 20, "p": 1.0})(given, generator(0))
    assert (out["masks"].shape, out["image"].shape) == ((0, 16, 20), (3, 16, 20))
    alone = {"image": sample()["image"], "label": torch.tensor(2)}
    assert set(step({"name": "Rotate"})(alone, generator(0))) == {"image", "label"}


def test_boxes_alone_are_refused_where_pixels_move():
    given = {"image": sample()["image"], "boxes": torch.tensor([[1.0, 2, 9, 9]]), "labels": torch.tensor([0]), "meta": {"id": "b"}}
    assert torch.equal(step({"name": "CLAHE"})(given, generator(0))["boxes"], given["boxes"])
    with pytest.raises(ConfigError) as caught:
        step({"name": "OneOf", "transforms": [{"name": "Rotate"}]})(given, generator(0))
    assert str(caught.value) == (
        "Rotate move pixels, and boxes can't follow; augmentation, Albumentations, sample b; "
        "fix: leave them out, or use a data set with masks"
    )


@pytest.mark.parametrize(
    ("transforms", "text"),
    [
        ([], "transforms: []; augmentation, Albumentations; fix: a list, e.g. [{name: GridDistortion, p: 0.3}]"),
        ("Rotate", "transforms: 'Rotate'"),
        (["Rotate"], "a transform is 'Rotate'; augmentation, Albumentations; fix: {name: <class of albumentations>, <its arguments>}"),
        (
            [{"name": "GridDistorsion"}],
            f"albumentations {A.__version__} has no transform 'GridDistorsion'; augmentation, Albumentations; fix: did",
        ),
        ([{"name": "os"}], f"albumentations {A.__version__} has no transform 'os'"),
        ([{"name": "Compose"}], f"albumentations {A.__version__} has no transform 'Compose'"),
        ([{"name": "load"}], f"albumentations {A.__version__} has no transform 'load'"),
        ([{"name": "augmentations.crops.transforms.RandomCrop"}], f"albumentations {A.__version__} has no transform"),
        ([{"name": "Rotate", "limits": 3}], "Rotate can't be made from these arguments: "),
        ([{"name": "Rotate", "limit": "far"}], "Rotate can't be made from these arguments: "),
        ([{"name": "OneOf", "transforms": [{"name": "Rotat"}]}], f"albumentations {A.__version__} has no transform 'Rotat'"),
        ([{"name": "Rotate", "fill_mask": 3}], "fill_mask of Rotate can't be set: what has no label is ignored; augmentation"),
        ([{"name": "Rotate", "mask_interpolation": 1}], "mask_interpolation of Rotate can't be set: labels are taken from the nearest"),
    ],
)
def test_refuses_what_it_does_not_know(transforms, text):
    with pytest.raises(ConfigError) as caught:
        Albumentations(transforms=transforms)
    assert str(caught.value).startswith(text)


def test_an_unknown_argument_is_answered_with_those_there_are():
    with pytest.raises(ConfigError) as caught:
        step({"name": "CoarseDropout", "holes": 3})
    assert "holes" in caught.value.what
    assert caught.value.fix.startswith("it takes num_holes_range, ")


@pytest.mark.parametrize("name", ["Normalize", "ToFloat"])
def test_normalisation_and_conversion_are_refused(name):
    with pytest.raises(ConfigError) as caught:
        step({"name": name})(sample(), generator(0))
    assert caught.value.fix == "leave out normalisation and conversion: the backbone does that"


def test_a_transform_that_fails_names_the_sample():
    with pytest.raises(ConfigError) as caught:
        step({"name": "RandomCrop", "height": 400, "width": 20, "p": 1.0})(sample(), generator(0))
    assert caught.value.where == "augmentation, Albumentations, sample train/a"


def test_says_how_to_install_it(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "albumentations":
            raise ModuleNotFoundError("No module named 'albumentations'", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError) as caught:
        step({"name": "Rotate"})
    assert caught.value.what == "albumentations can't be imported: No module named 'albumentations'"
    assert caught.value.fix == "pip install 'segexp[albumentations]'"


def test_the_shipped_option_builds_and_is_keyed():
    augment = make(compose("train", ["augmentation=albumentations", "augmentation.crop=[24,32]"]).augmentation)
    assert isinstance(augment, ScaleCrop)
    first, again = (augment(sample(), generator("shipped")) for _ in range(2))
    assert torch.equal(first["image"], again["image"])
    assert first["image"].shape == (3, 24, 32)
