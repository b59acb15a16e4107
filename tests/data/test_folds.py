"""Each sample is held out once, by a division that depends on nothing but its key."""

import pytest

from segexp.build import build, open_dataset
from segexp.config import compose
from segexp.data.folder import Folder
from segexp.data.folds import Folds
from segexp.data.shapes import Shapes
from segexp.errors import ConfigError
from tests.data.test_folder import fill
from tests.test_task import SMALL


def data(train=13):
    return Shapes(height=32, width=48, train=train, val=3, test=2)


def ids(split):
    return [split.id(i) for i in range(len(split))]


@pytest.mark.parametrize("folds", [2, 5, 13])
def test_every_sample_is_in_val_once_and_else_in_train(folds):
    parts = [Folds(data(), folds, fold, 0) for fold in range(folds)]
    held = [ids(part.open("val")) for part in parts]
    assert sorted(i for part in held for i in part) == ids(data().open("train"))
    assert {len(part) for part in held} <= {13 // folds, -(-13 // folds)}
    for part, val in zip(parts, held, strict=True):
        assert sorted(ids(part.open("train")) + val) == ids(data().open("train"))


def test_the_division_depends_on_its_seed_alone():
    first = ids(Folds(data(), 5, 0, 0).open("val"))
    assert ids(Folds(data(), 5, 0, 0).open("val")) == first
    assert ids(Folds(data(), 5, 0, 1).open("val")) != first
    assert ids(Folds(data(), 4, 0, 0).open("val"))[:3] != first


def test_samples_other_splits_and_classes_are_those_of_the_set():
    folded = Folds(data(), 5, 2, 0)
    assert (folded.splits, folded.spec, folded.fingerprint()) == (("train", "val", "test"), data().spec, data().fingerprint())
    val = folded.open("val")
    number = int(val.id(1).rpartition("/")[2])
    assert (val[1]["image"] == data().open("train")[number]["image"]).all()
    assert not hasattr(val, "paths")
    assert ids(folded.open("test")) == ids(data().open("test"))


def test_parts_of_file_sets_know_their_files(tmp_path):
    class Files:
        def __len__(self):
            return 4

        def paths(self, index):
            return tmp_path / f"{index}.png", None

    class Data:
        splits = ("train",)

        def open(self, split):
            return Files()

    folded = Folds(Data(), 4, 1, 0)
    held = folded.open("val").paths(0)
    assert held not in [folded.open("train").paths(i) for i in range(3)]
    assert folded.splits == ("train", "val")


def test_a_folder_that_chance_divides_is_folded_as_a_whole(tmp_path):
    fill(tmp_path, "abcdef")
    held = [ids(Folds(Folder(root=str(tmp_path)), 3, fold, 0).open("val")) for fold in range(3)]
    assert sorted(i for part in held for i in part) == [f"train/{name}" for name in "abcdef"]
    assert len(Folds(Folder(root=str(tmp_path)), 3, 0, 0).open("train")) == 4
    (tmp_path / "train.txt").write_text("a\nb\nc\n")
    (tmp_path / "val.txt").write_text("d\n")
    assert len(Folds(Folder(root=str(tmp_path)), 3, 0, 0).open("train")) == 2  # a `val` of the user's stays out


@pytest.mark.parametrize(
    ("folds", "fold", "told"),
    [
        (1, 0, r"at least two folds; data\.folds=1"),
        (2.5, 0, r"data\.folds=2\.5"),
        (5, 5, r"5 folds are 0\.\.4; data\.fold=5; fix: data\.fold=range\(0,5\) with -m"),
        (5, -1, r"data\.fold=-1"),
        ("five", 0, r"data\.folds=five"),
    ],
)
def test_impossible_folds_are_refused(folds, fold, told):
    with pytest.raises(ConfigError, match=told):
        Folds(data(), folds, fold, 0)


def test_more_folds_than_samples():
    with pytest.raises(ConfigError, match=r"3 training samples can't be divided into 4 folds; data\.folds=4; fix: data\.folds=3"):
        Folds(data(train=3), 4, 0, 0).open("train")


def test_folds_by_keys():
    plain = open_dataset(compose("train"))
    assert isinstance(plain, Shapes)
    folded = open_dataset(compose("train", ["data.folds=4", "data.fold=3", "data.fold_seed=7", "data.train=8"]))
    assert (folded.folds, folded.fold, folded.seed, len(folded.open("val"))) == (4, 3, 7, 2)
    experiment = build(compose("train", [*SMALL, "data.folds=2"]))
    assert len(experiment.datamodule.samples("val", training=False).split) == len(experiment.dataset.dataset.open("train")) // 2
