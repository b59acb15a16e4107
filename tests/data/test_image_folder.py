"""Pictures in folders of classes, on generated trees and on the real hand signs."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segexp.data.folds import Folds
from segexp.data.image_folder import ImageFolder
from segexp.errors import ConfigError, DataError
from segexp.targets import derive

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "sign_digits"


def put(root, *files, value=0):
    for i, file in enumerate(files):
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 6, 3), (value + i) % 256, np.uint8)).save(path)


@pytest.fixture
def root(tmp_path):
    put(tmp_path / "train", "dog/a.png", "dog/b.png", "cat/deep/x.png", "cat/.hidden.png", "cat/y.png", "cat/z.png")
    put(tmp_path / "val", "dog/q.png", value=50)
    (tmp_path / "val" / "cat").mkdir()
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "train" / "cat" / "notes.txt").write_text("no picture")
    return tmp_path


def test_classes_are_the_folders_of_train_and_samples_take_turns(root):
    data = ImageFolder(root=str(root))
    opened = data.open("train")
    assert (data.splits, data.spec.names, data.spec.provides) == (("train", "val"), ("cat", "dog"), {"label"})
    assert [opened.id(i) for i in range(len(opened))] == ["train/cat/deep/x", "train/dog/a", "train/cat/y", "train/dog/b", "train/cat/z"]
    assert [int(opened[i]["label"]) for i in range(5)] == [0, 1, 0, 1, 0]
    sample = data.open("val")[0]
    assert (int(sample["image"][0, 0, 0]), sample["meta"]["size"], int(sample["label"])) == (50, (4, 6), 1)
    assert derive(sample, {"present"}, data.spec).present.tolist() == [0, 1]


def test_listed_classes_set_the_ids(root):
    data = ImageFolder(root=str(root), classes=["dog", "cat"])
    assert int(data.open("train")[0]["label"]) == 0
    assert data.open("train").id(0) == "train/dog/a"


def test_of_many_classes_255_is_an_ordinary_one(tmp_path):
    put(tmp_path, *(f"{i:03d}/p.png" for i in range(300)))
    data = ImageFolder(root=str(tmp_path))
    assert (data.spec.num_classes, data.spec.ignore_index) == (300, 300)
    assert derive({"label": 255}, {"present"}, data.spec).present[255] == 1


def test_without_val_chance_divides_by_name(tmp_path):
    put(tmp_path, *(f"{kind}/{i}.png" for kind in "ab" for i in range(20)))
    data = ImageFolder(root=str(tmp_path), val_fraction=0.25)
    parts = [{split.id(i).partition("/")[2] for i in range(len(split))} for split in (data.open("train"), data.open("val"))]
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == 40
    assert 3 < len(parts[1]) < 18
    put(tmp_path, "a/new.png")
    again = ImageFolder(root=str(tmp_path), val_fraction=0.25)
    assert parts[1] <= {again.open("val").id(i).partition("/")[2] for i in range(len(again.open("val")))}
    assert len(data.undivided()) == 40
    folds = [Folds(data, 4, fold, 0).open("val") for fold in range(4)]
    assert sum(map(len, folds)) == 40


def test_a_test_without_folders_has_no_labels(root):
    put(root / "test", "one.png", "two.png")
    data = ImageFolder(root=str(root))
    assert data.splits == ("train", "val")
    assert set(data.open("test")[1]) == {"image", "meta"}
    assert data.open("test").id(1) == "test/two"


def test_the_fingerprint_sees_a_picture_that_moved_to_another_class(root):
    before = ImageFolder(root=str(root)).fingerprint()
    assert before == ImageFolder(root=str(root)).fingerprint()
    (root / "train/cat/y.png").rename(root / "train/dog/y.png")
    assert ImageFolder(root=str(root)).fingerprint() != before
    assert ImageFolder(root=str(root), classes=["dog", "cat"]).fingerprint() != before


def test_what_does_not_fit_is_named(root, tmp_path):
    with pytest.raises(
        ConfigError, match=r"there is no such folder; data.root=.*nowhere; fix: data.root=<folder>; the layout is <root>/train/<class>"
    ):
        ImageFolder(root=str(tmp_path / "nowhere")).open("train")
    with pytest.raises(ConfigError, match=r"no folder of the classes bird, cow; .*train"):
        ImageFolder(root=str(root), classes=["cat", "dog", "cow", "bird"]).open("train")
    with pytest.raises(ConfigError, match=r"1 folders that are no class: dog; the classes are cat; .*train"):
        ImageFolder(root=str(root), classes=["cat"]).open("train")
    with pytest.raises(ConfigError, match=r"no split 'dev'.*fix: data.split=train\|val"):
        ImageFolder(root=str(root)).open("dev")
    put(root / "val", "cow/q.png")
    with pytest.raises(ConfigError, match=r"no class: cow; the classes are cat, dog; .*val"):
        ImageFolder(root=str(root)).open("val")


def test_an_empty_class_and_two_pictures_of_one_name_are_refused(root):
    put(root / "train", "dog/a.jpg")
    with pytest.raises(DataError, match=r"two pictures of one name: dog/a.jpg and dog/a.png; .*train; fix: rename one"):
        ImageFolder(root=str(root)).open("train")
    (root / "train" / "dog" / "a.jpg").unlink()
    (root / "train" / "cow").mkdir()
    with pytest.raises(DataError, match=r"no picture of the classes cow; .*train; fix: add some, or remove the folders"):
        ImageFolder(root=str(root)).open("train")


def test_a_broken_picture_is_refused_when_it_is_read(root):
    (root / "train" / "cat" / "y.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"y\.png"):
        ImageFolder(root=str(root)).open("train")[2]


def test_an_empty_folder_says_how_it_should_look(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no folder of a class; .*fix: the layout is"):
        assert ImageFolder(root=str(tmp_path)).spec


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"classes": ["a", "a"]}, "data.classes"),
        ({"classes": "a"}, "data.classes=a"),
        ({"channels": 0}, "data.channels=0"),
        ({"val_fraction": 1}, "data.val_fraction=1"),
    ],
)
def test_wrong_keys_are_refused(keys, said):
    with pytest.raises(ConfigError, match=said):
        ImageFolder(root=".", **keys)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the pictures aren't here")
def test_the_hand_signs():
    data = ImageFolder(root=str(SHARED))
    assert data.spec.names == tuple("0123456789")
    assert [len(data.open(split)) for split in data.splits] == [1278, 371]
    sample = data.open("val")[12]
    assert (tuple(sample["image"].shape), int(sample["label"])) == ((3, 100, 100), 2)
