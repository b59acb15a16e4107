"""Crops chosen by the classes in them."""

import pytest
import torch
from torchvision import tv_tensors

from segexp.augmentation.balance import anywhere, around, class_map, largest_share
from segexp.errors import ConfigError
from segexp.functional.keys import generator
from segexp.functional.windows import Window

IMAGE = tv_tensors.Image(torch.zeros(3, 8, 10, dtype=torch.uint8))
EXPECTED = torch.full((8, 10), 255)
EXPECTED[:4, :5] = 2
EXPECTED[6:, 6:] = 0


def kinds():
    segments = torch.zeros(8, 10, dtype=torch.int32)
    segments[:4, :5], segments[6:, 6:] = 1, 2
    labels = torch.tensor([2, 0])
    return {
        "semantic": {"semantic": tv_tensors.Mask(EXPECTED.to(torch.uint8))},
        "segments": {"segments": tv_tensors.Mask(segments), "segment_labels": labels},
        "masks": {"masks": tv_tensors.Mask(torch.stack([segments == 1, segments == 2])), "labels": labels},
        "boxes": {"boxes": torch.tensor([[0.0, 0, 5, 4], [6, 6, 10, 8]]), "labels": labels},
    }


@pytest.mark.parametrize("kind", ["semantic", "segments", "masks", "boxes"])
def test_every_kind_of_annotation_gives_the_same_classes(kind):
    assert torch.equal(class_map({"image": IMAGE, **kinds()[kind]}).long(), EXPECTED)


def test_without_a_place_there_is_nothing_to_go_by():
    with pytest.raises(ConfigError) as caught:
        class_map({"image": IMAGE, "label": torch.tensor(3), "meta": {"id": "train/a"}})
    assert caught.value.where == "augmentation, sample train/a"
    assert caught.value.fix == "augmentation.max_class_share=1 augmentation.center_on_class=0"


def test_shares_are_of_the_labelled_pixels():
    assert largest_share(EXPECTED.to(torch.uint8)) == pytest.approx(20 / 28)
    assert largest_share(torch.full((3, 3), 255, dtype=torch.uint8)) == 1
    assert largest_share(torch.tensor([[300, 300, 1, 255]])) == pytest.approx(2 / 3)  # more classes than 255


def test_classes_are_drawn_evenly_and_the_crop_shows_them():
    classes = torch.zeros(60, 60, dtype=torch.uint8)
    classes[50:, :] = 255
    classes[30, 40] = 7  # one pixel in 3000
    windows = [around(Window(0, 0, 9, 11, (9, 11)), classes, generator("around", i)) for i in range(300)]
    crops = [classes[w.top : w.top + 9, w.left : w.left + 11] for w in windows]
    assert all(crop.shape == (9, 11) for crop in crops)
    assert 110 < sum(bool((crop == 7).any()) for crop in crops) < 200
    assert all(bool((crop != 255).any()) for crop in crops)


def test_where_nothing_is_labelled_the_crop_is_anywhere():
    nothing = torch.full((20, 30), 255, dtype=torch.uint8)
    window = Window(0, 0, 5, 6, (5, 6))
    places = {around(window, nothing, generator(i))[:2] for i in range(50)}
    assert places == {anywhere(window, (20, 30), generator(i))[:2] for i in range(50)}
    assert len(places) > 30
    assert all(top <= 15 and left <= 24 for top, left in places)
