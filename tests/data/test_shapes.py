import hashlib
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision import tv_tensors

from segexp.data.shapes import NAMES, Shapes
from segexp.errors import ConfigError
from segexp.targets import derive

STUFF = NAMES[:5]
GOLDEN_IMAGE = "3664cf9a6f29e62ba81e37f263258acbd71e1d2eaf9d18500724a9d2867f9820"
GOLDEN_SEGMENTS = "50eb105ce5b73d27f36bc6eac29ea715c2cc19bd5baaf5e99799177df9384fa5"


@pytest.fixture(scope="module")
def data():
    return Shapes()


@pytest.fixture(scope="module")
def samples(data):
    split = data.open("train")
    return [split[i] for i in range(64)]


def digest(tensor):
    return hashlib.sha256(np.ascontiguousarray(tensor.numpy()).tobytes()).hexdigest()


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in ("image", "segments", "segment_labels", "segment_crowd")) and a["meta"] == b["meta"]


def semantic(sample, data):
    return derive(sample, {"semantic"}, data.spec).semantic.numpy()


# ------------------------------------------------------------------------------------------------ determinism


def test_a_sample_is_the_same_in_any_order_and_after_pickling(data, samples):
    split = pickle.loads(pickle.dumps(Shapes().open("train")))
    assert all(same(split[i], samples[i]) for i in (5, 0, 63, 5))
    assert same(Shapes(train=1000, val=1).open("train")[5], samples[5])  # the length of a split doesn't change its samples


def test_global_random_numbers_are_neither_read_nor_drawn(data, samples):
    torch.manual_seed(3)
    before, expected = np.random.get_state()[1:3], torch.rand(4)  # noqa: NPY002
    torch.manual_seed(3)
    assert same(data.open("train")[0], samples[0])
    assert torch.equal(torch.rand(4), expected)
    after = np.random.get_state()[1:3]  # noqa: NPY002
    assert np.array_equal(before[0], after[0]) and before[1] == after[1]


def test_golden_sample_pins_the_generator(data):
    sample = data.open("val")[3]
    assert (digest(sample["image"]), digest(sample["segments"])) == (GOLDEN_IMAGE, GOLDEN_SEGMENTS), "raise VERSION with every change"


@pytest.mark.parametrize(("seed", "split", "index"), [(1, "train", 0), (0, "val", 0), (0, "train", 1)])
def test_seed_split_and_index_each_give_another_picture(samples, seed, split, index):
    other = Shapes(seed=seed).open(split)[index]
    assert not torch.equal(other["image"], samples[0]["image"])
    assert not torch.equal(other["segments"], samples[0]["segments"])


def test_pictures_of_a_split_all_differ(samples):
    assert len({digest(s["image"]) for s in samples}) == len(samples)


# ------------------------------------------------------------------------------------------------ annotation


def test_samples_keep_the_contract(data, samples):
    for i, sample in enumerate(samples):
        image, segments, labels, crowd = (sample[k] for k in ("image", "segments", "segment_labels", "segment_crowd"))
        assert isinstance(image, tv_tensors.Image) and image.dtype == torch.uint8 and image.shape == (3, 96, 128)
        assert isinstance(segments, tv_tensors.Mask) and segments.dtype == torch.int32 and segments.shape == (96, 128)
        assert image.is_contiguous() and segments.is_contiguous()
        assert labels.dtype == torch.int64 and crowd.dtype == torch.bool and labels.shape == crowd.shape
        assert sorted(set(segments.flatten().tolist()) - {0}) == list(range(1, len(labels) + 1))
        assert labels.min() >= 0 and labels.max() < data.spec.num_classes
        assert sample["meta"] == {"id": f"train/{i:06d}", "size": (96, 128), "path": ""}


def test_stuff_has_one_segment_a_class_and_only_people_are_crowds(data, samples):
    for sample in samples:
        stuff = [k for k in sample["segment_labels"].tolist() if k in data.spec.stuff_ids]
        assert len(stuff) == len(set(stuff))
        assert set(sample["segment_labels"][sample["segment_crowd"]].tolist()) <= {NAMES.index("person")}


def test_every_picture_has_a_thing_that_can_be_seen(data, samples):
    for sample in samples:
        things = [i + 1 for i, k in enumerate(sample["segment_labels"].tolist()) if k in data.spec.thing_ids]
        areas = [int((sample["segments"] == i).sum()) for i in things if not sample["segment_crowd"][i - 1]]
        assert max(areas) >= 100


def test_crowds_and_void_occur_but_not_everywhere(samples):
    assert 8 <= sum(bool(s["segment_crowd"].any()) for s in samples) <= 40
    assert 16 <= sum(bool((s["segments"] == 0).any()) for s in samples) <= 56


def test_void_rims_surround_things_in_some_pictures(samples):
    rims = []
    for sample in samples:
        segments = sample["segments"].as_subclass(torch.Tensor)
        nearest = (segments == len(sample["segment_labels"])).float()[None]  # painted last
        around = (F.max_pool2d(nearest, 3, 1, 1) > nearest)[0]
        rims.append(bool((segments[around] == 0).all()))
    assert 10 <= sum(rims) <= 45


def test_every_class_is_seen_and_every_thing_class_names_pictures(data, samples):
    pixels = np.bincount(np.concatenate([semantic(s, data).ravel() for s in samples]), minlength=256)
    assert (pixels[:8] / pixels.sum() > 0.015).all() and pixels[255] / pixels.sum() < 0.06
    names = [int(derive(s, {"label"}, data.spec).label) for s in samples]
    assert all(names.count(k) >= 8 for k in data.spec.thing_ids) and set(names) == set(data.spec.thing_ids)


def test_derived_targets_agree_with_direct_computation(data, samples):
    sample = next(s for s in samples if s["segment_crowd"].any())
    segments, labels = sample["segments"].numpy(), sample["segment_labels"].numpy()
    targets = derive(sample, {"semantic", "masks", "boxes", "label"}, data.spec)
    truth = np.full(segments.shape, 255)
    things = []
    for i, k in enumerate(labels):
        truth[segments == i + 1] = k
        if NAMES[k] in ("car", "person", "sign"):
            things.append(i + 1)
    assert np.array_equal(targets.semantic.numpy(), truth)
    assert targets.labels.tolist() == [labels[i - 1] for i in things]
    assert targets.crowd.tolist() == [bool(sample["segment_crowd"][i - 1]) for i in things]
    for i, mask, box in zip(things, targets.masks.numpy(), targets.boxes.tolist(), strict=True):
        y, x = np.nonzero(segments == i)
        assert np.array_equal(mask, segments == i)
        assert box == [x.min(), y.min(), x.max() + 1, y.max() + 1]
    single = [i for i in things if not sample["segment_crowd"][i - 1]]
    assert int(targets.label) == labels[max(single, key=lambda i: (segments == i).sum()) - 1]


# ------------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize("size", [(33, 47), (65, 97), (24, 24), (16, 16), (256, 512), (100, 20)])
def test_any_size_gives_whole_pictures_with_a_thing(size):
    data = Shapes(height=size[0], width=size[1])
    for i in range(6):
        sample = data.open("test")[i]
        assert sample["image"].shape == (3, *size) and sample["segments"].shape == size and sample["meta"]["size"] == size
        assert torch.equal(sample["segments"].unique(), torch.arange(int(sample["segments"].min()), len(sample["segment_labels"]) + 1))
        single = sample["segment_labels"][~sample["segment_crowd"]]
        assert set(single.tolist()) & set(data.spec.thing_ids)


def test_ids_follow_the_order_of_the_classes_asked_for(samples, data):
    other = Shapes(classes=NAMES[::-1])
    assert other.spec.names == NAMES[::-1] and other.spec.thing_ids == (0, 1, 2)
    mirrored = other.open("train")[0]
    assert torch.equal(7 - mirrored["segment_labels"], samples[0]["segment_labels"])
    assert torch.equal(mirrored["image"], samples[0]["image"])


def test_what_is_behind_a_class_left_out_shows(samples, data):
    stuff = Shapes(classes=STUFF)
    for i in range(8):
        full, bare = semantic(samples[i], data), semantic(stuff.open("train")[i], stuff)
        assert np.array_equal(full[full < 5], bare[full < 5])  # the same street
        assert (bare[(full >= 5) & (full < 8)] < 5).mean() > 0.9  # void is left: a bonnet
        assert (full >= 5).any() and set(np.unique(bare)) <= {0, 1, 2, 3, 4, 255}


@pytest.mark.parametrize(("left_out", "shows"), [("road", "sidewalk"), ("building", None), ("sky", None), ("vegetation", None)])
def test_a_stuff_class_left_out_is_replaced_by_the_layer_behind(left_out, shows):
    names = tuple(n for n in STUFF if n != left_out)
    full, less = Shapes(classes=STUFF), Shapes(classes=names)
    for i in range(4):
        a, b = semantic(full.open("val")[i], full), semantic(less.open("val")[i], less)
        hidden = a == STUFF.index(left_out)
        table = np.array([names.index(n) if n in names else 255 for n in STUFF] + [255] * 251)
        assert hidden.any() and np.array_equal(b[~hidden], table[a[~hidden]])
        if shows:
            assert (b[hidden] == names.index(shows)).all()


def test_one_stuff_class_is_enough():
    sample = Shapes(classes=["road"]).open("train")[0]
    assert sample["segment_labels"].tolist() == [0] and (sample["segments"] == 0).any()


def test_difficulty_brings_noise_and_things():
    def measure(difficulty):
        split = Shapes(difficulty=difficulty, classes=("sky", "car", "person", "sign")).open("train")
        rough, things = [], []
        for i in range(24):
            image = split[i]["image"].float()[:, :8]
            rough.append((image[..., 1:] - image[..., :-1]).abs().mean().item())
            things.append(len(split[i]["segment_labels"]))
        return np.median(rough), np.mean(things)

    (quiet, few), (middle, some), (loud, many) = measure(0.0), measure(0.5), measure(1.0)
    assert 2 * quiet < middle < loud / 1.3 and few + 0.5 < some < many - 0.5


def test_splits_have_their_lengths_and_an_end(data):
    small = Shapes(train=3, val=2, test=1)
    assert [len(small.open(name)) for name in small.splits] == [3, 2, 1]
    assert [s["meta"]["id"] for s in small.open("val")] == ["val/000000", "val/000001"]
    assert data.open("train").id(17) == "train/000017"
    for index in (2, -1):
        with pytest.raises(IndexError, match="of 2 in split val"):
            small.open("val")[index]


def test_spec_and_fingerprint(data):
    assert data.spec.names == NAMES and data.spec.provides == frozenset({"segments"}) and data.spec.thing_ids == (5, 6, 7)
    assert len({c.color for c in data.spec.classes}) == 8
    others = [{"height": 97}, {"width": 129}, {"train": 1}, {"val": 1}, {"test": 1}, {"seed": 1}, {"classes": STUFF}, {"difficulty": 0.6}]
    prints = [data.fingerprint()] + [Shapes(**keys).fingerprint() for keys in others]
    assert len(set(prints)) == len(prints) and all(len(p) == 64 and int(p, 16) >= 0 for p in prints)
    assert Shapes(classes=list(NAMES)).fingerprint() == prints[0]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"classes": ["sky", "tram", "car"]}, "shapes has no class tram; data.classes=[sky,tram,car]; fix: any of " + ", ".join(NAMES)),
        ({"classes": ["sky", "sky"]}, "a class of shapes is named twice; data.classes=[sky,sky]; fix: name each class once"),
        (
            {"classes": ["car"]},
            "shapes needs at least one stuff class; data.classes=[car]; fix: add any of " + ", ".join(STUFF),
        ),
        ({"classes": []}, "shapes needs at least one stuff class; data.classes=[]; fix: add any of " + ", ".join(STUFF)),
        ({"height": 8}, "height must be at least 16; data.height=8; fix: data.height=16 or more"),
        ({"val": 0}, "val must be at least 1; data.val=0; fix: data.val=1 or more"),
        ({"difficulty": 1.5}, "difficulty must lie in 0..1; data.difficulty=1.5; fix: data.difficulty=0.5 is the default"),
    ],
)
def test_wrong_keys_are_named(keys, message):
    with pytest.raises(ConfigError) as caught:
        Shapes(**keys)
    assert str(caught.value) == message


def test_unknown_split_names_those_that_exist(data):
    with pytest.raises(ConfigError) as caught:
        data.open("validation")
    assert str(caught.value) == "shapes has no split 'validation'; data.split; fix: one of train, val, test"


# ------------------------------------------------------------------------------------------------ hard enough


def mean_iou(predicted, truth):
    seen = truth != 255
    counts = np.bincount(truth[seen].astype(int) * 8 + predicted[seen], minlength=64).reshape(8, 8)
    return (np.diag(counts) / (counts.sum(0) + counts.sum(1) - np.diag(counts))).mean()


def test_colour_alone_does_not_solve_it(data, samples):
    def pixels(chosen):
        colors = np.concatenate([s["image"].numpy().reshape(3, -1).T for s in chosen]).astype(np.float32)
        return colors, np.concatenate([semantic(s, data).ravel() for s in chosen])

    colors, truth = pixels(samples[:48])
    unseen, answer = pixels(samples[48:])
    means = np.stack([colors[truth == k].mean(0) for k in range(8)])
    nearest = np.argmin([((unseen - m) ** 2).sum(1) for m in means], axis=0)
    assert mean_iou(nearest, answer) < 0.4

    cells = lambda c: (c // 16).astype(int) @ [256, 16, 1]  # noqa: E731
    table = np.zeros((4096, 8))
    np.add.at(table, (cells(colors[truth < 8]), truth[truth < 8]), 1)
    assert mean_iou(table.argmax(1)[cells(unseen)], answer) < 0.5  # the best class for each of 4096 colours
