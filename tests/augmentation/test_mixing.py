"""Mixup and CutMix: shares of pixels are shares of labels, and draws follow from the batch's key."""

from dataclasses import replace

import pytest
import torch

from segexp.augmentation.mixing import Mixing, check_mixing, pasted, rectangle
from segexp.errors import ConfigError, DataError
from segexp.losses.label_ce import LabelCE
from segexp.types import Batch, ClassInfo, DataSpec, Targets

SPEC = DataSpec(tuple(ClassInfo(f"c{i}") for i in range(4)), frozenset({"label"}))


def batch(key=7, labels=(0, 1, 2), size=(32, 40), present=False):
    images = torch.stack([torch.full((3, *size), float(i)) for i in range(len(labels))])  # picture i has the value i
    targets = [Targets(label=torch.tensor(k), key=key + i) for i, k in enumerate(labels)]
    if present:
        shown = torch.eye(4)
        targets = [Targets(present=shown[i], key=key + i) for i in range(len(labels))]
    sizes = (size,) * len(labels)
    return Batch(images, sizes, sizes, targets, [], tuple("abcdef"[: len(labels)]), {"ce": 3.0})


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}], ids=["mixup", "cutmix"])
def test_labels_have_the_shares_of_the_pixels(options):
    for seed in range(20):
        mixed = Mixing(**options)(batch(seed), SPEC)
        for i, (image, target) in enumerate(zip(mixed.images, mixed.targets, strict=True)):
            before = (i - 1) % 3
            assert float(target.label.sum()) == pytest.approx(1)
            assert float(image.mean()) == pytest.approx(i * float(target.label[i]) + before * float(target.label[before]), abs=1e-5)


def test_cutmix_leaves_whole_pixels_and_mixup_blends():
    cut = Mixing(cutmix=1.0)(batch(1), SPEC).images[1]
    assert set(cut.unique().tolist()) <= {0.0, 1.0}
    assert len(Mixing(mixup=1.0)(batch(1), SPEC).images[1].unique()) == 1


def test_classes_that_are_shown_are_mixed_too():
    mixed = Mixing(mixup=1.0)(batch(present=True), SPEC)
    share = float(mixed.targets[0].present[0])
    assert mixed.targets[0].present.tolist() == pytest.approx([share, 0, 1 - share, 0])


def test_the_batch_that_comes_in_stays_as_it_is():
    given = batch()
    Mixing(mixup=1.0, cutmix=1.0)(given, SPEC)
    assert torch.equal(given.images, batch().images)
    assert [int(t.label) for t in given.targets] == [0, 1, 2]


def test_draws_follow_from_the_key_of_the_first_picture_and_not_from_the_global_generator():
    mixing = Mixing(mixup=0.4, cutmix=1.0)
    first = mixing(batch(5), SPEC).images
    state = torch.get_rng_state()
    torch.manual_seed(99)
    assert torch.equal(mixing(batch(5), SPEC).images, first)
    assert not torch.equal(mixing(batch(6), SPEC).images, first)
    torch.set_rng_state(state)


def test_ways_and_probability():
    whole = [Mixing(mixup=1.0, cutmix=1.0, probability=0.5)(batch(seed), SPEC) for seed in range(200)]
    plain = sum(torch.equal(b.images, batch().images) for b in whole)
    blended = sum(bool(((b.images % 1) > 0).any()) for b in whole)
    assert 70 < plain < 130
    assert 30 < blended < 70
    assert torch.equal(Mixing(mixup=1.0, probability=0.0)(batch(), SPEC).images, batch().images)


def test_what_a_batch_is_divided_by_stays():
    loss = LabelCE(SPEC, class_weights=[1.0, 2.0, 3.0, 4.0])
    for options in ({"mixup": 1.0}, {"cutmix": 1.0}):
        for seed in range(5):
            given = batch(seed, labels=(3, 255, 1))
            mixed = Mixing(**options)(given, SPEC)
            assert loss.count(mixed.targets)["ce"] == pytest.approx(loss.count(given.targets)["ce"])


def test_a_picture_alone_stays_and_sizes_must_be_one():
    assert torch.equal(Mixing(mixup=1.0)(batch(labels=(2,)), SPEC).images, batch(labels=(2,)).images)
    uneven = replace(batch(), sizes=((32, 40), (30, 40), (32, 40)))
    with pytest.raises(
        DataError, match=r"pictures of 30x40, 32x40 can't be mixed; mixing; fix: augmentation.crop=\[224,224\], or mixing=none"
    ):
        Mixing(mixup=1.0)(uneven, SPEC)


def test_rectangles_have_their_share_where_no_border_cuts_them():
    import numpy as np

    shares = []
    for seed in range(300):
        box = rectangle(np.random.default_rng(seed), (100, 200), 0.75)
        assert 0 <= box[0] <= box[2] <= 100
        assert 0 <= box[1] <= box[3] <= 200
        shares.append(1 - pasted(torch.zeros(1, 1, 100, 200), torch.ones(1, 1, 100, 200), box)[1])
    assert max(shares) == 0.25
    assert min(shares) < 0.15


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, r"mixup and CutMix are both off; mixing; fix: mixing=none, or mixing.mixup=0.2"),
        ({"mixup": -1}, "mixing.mixup=-1"),
        ({"cutmix": "a"}, "mixing.cutmix=a"),
        ({"mixup": 1, "probability": 1.5}, "mixing.probability=1.5"),
    ],
)
def test_wrong_keys_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        Mixing(**options)


def test_what_has_a_place_cant_be_mixed():
    check_mixing({"label", "present"})
    with pytest.raises(ConfigError, match=r"can't mix masks, semantic, which .*; fix: mixing=none, or task=classification\|multi_label"):
        check_mixing({"label", "semantic", "masks"})
