"""Boxes in YOLO's texts."""

import pickle

import pytest
from PIL import Image

from segexp.data.yolo import Yolo
from segexp.datamodule import announce
from segexp.doctor.check import check
from segexp.errors import ConfigError, DataError


def plant(root, texts, split="train", pictures="images/{}", labels="labels/{}"):
    for number, (name, text) in enumerate(texts.items()):
        picture = root / pictures.format(split) / f"{name}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 10), (number, 2, 3)).save(picture)
        if text is not None:
            (root / labels.format(split)).mkdir(parents=True, exist_ok=True)
            (root / labels.format(split) / f"{name}.txt").write_text(text)
    (root / "data.yaml").write_text("names: {0: cat, 1: dog}\ntrain: gone/nowhere\n")
    return str(root)


@pytest.mark.parametrize(("pictures", "labels"), [("images/{}", "labels/{}"), ("{}/images", "{}/labels"), ("{}", "{}")])
def test_boxes_are_shares_of_the_picture(tmp_path, pictures, labels):
    root = plant(tmp_path, {"a": "1 0.5 0.5 0.5 0.4\n\n0 0.1 0.1 0.2 0.2", "b": "", "c": None}, pictures=pictures, labels=labels)
    data = Yolo(root=root)
    split = data.open("train")
    assert (data.splits, data.spec.names, data.spec.provides) == (("train",), ("cat", "dog"), {"boxes"})
    assert split[0]["boxes"].tolist() == [[5, 3, 15, 7], [0, 0, 4, 2]]
    assert (split[0]["labels"].tolist(), split.id(0)) == ([1, 0], "train/a")
    assert [len(split[i]["boxes"]) for i in range(3)] == [2, 0, 0]


def test_of_a_polygon_the_box_is_taken(tmp_path):
    root = plant(tmp_path, {"a": "0 0.1 0.2 0.5 0.2 0.3 0.9"})
    assert Yolo(root=root).open("train")[0]["boxes"][0].tolist() == pytest.approx([2, 2, 10, 9])


def test_the_yaml_says_where_the_splits_are(tmp_path):
    root = plant(tmp_path, {"a": "0 0.5 0.5 0.5 0.5"}, pictures="mine/images", labels="mine/labels")
    (tmp_path / "other.yaml").write_text("names: [cat]\ntrain: ../mine/images\nval: list.txt")
    (tmp_path / "list.txt").write_text("./mine/images/a.png\n")
    data = Yolo(root=root, file="other.yaml")
    assert data.splits == ("train", "val"), "Roboflow writes ../ for the folder itself"
    assert len(data.open("val")[0]["boxes"]) == 1
    (tmp_path / "other.yaml").write_text("names: [cat]\ntrain: mine/images\nval: list.txt")
    assert Yolo(root=root, file="other.yaml").open("train").id(0) == "train/a"


def test_useless_boxes_are_left_out(tmp_path, capsys):
    root = plant(tmp_path, {"a": "0 0.5 0.5 0 0.5\n0 0.5 0.5 -0.1 0.5\n0 1.5 0.5 0.1 0.1\n0 0.9 0.5 0.4 1.0\n"})
    data = Yolo(root=root)
    assert data.open("train")[0]["boxes"][0].tolist() == pytest.approx([14, 0, 20, 10])
    announce(data.open("train"), 1)
    assert "train: 3 of 4 objects are left out (1 box-empty, 1 box-inverted, 1 box-outside)" in capsys.readouterr().out
    found = {f.kind: f.what.partition(":")[0] for f in check(data).findings}
    assert found["box-outside"] == "image train/a, line 3"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2 0.5 0.5 0.1 0.1", r"image train/a, line 1: class 2, the set has 0\.\.1"),
        ("-1 0.5 0.5 0.1 0.1", r"class -1, the set has 0\.\.1"),
        ("0.5 0.5 0.5 0.1 0.1", r"class 0\.5, the set"),
        ("0 50 30 10 10", r"line 1: 50 is no share of the picture: coordinates are from 0 to 1"),
        ("0 0.5 0.5 0.1", "4 numbers, which are neither a class and a box nor"),
        ("cat 0.5 0.5 0.1 0.1", "'cat 0.5 0.5 0.1 0.1' are no numbers"),
    ],
)
def test_lines_that_cannot_be_read_are_refused(tmp_path, line, told):
    split = Yolo(root=plant(tmp_path, {"a": line})).open("train")
    with pytest.raises(DataError, match=told):
        split[0]
    with pytest.raises(DataError, match=told):
        announce(split, 1)


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"no classes are given.*fix: data\.classes="):
        _ = Yolo(root=str(tmp_path)).spec
    with pytest.raises(ConfigError, match=r"no pictures with texts of boxes are there"):
        Yolo(root=str(tmp_path), classes=["a"]).open("train")
    root = plant(tmp_path, {"a": ""})
    with pytest.raises(ConfigError, match=r"no split 'val'.*fix: data\.split=train"):
        Yolo(root=root).open("val")
    with pytest.raises(ConfigError, match=r"no such file; data\.file=b\.yaml"):
        _ = Yolo(root=root, file="b.yaml").spec
    (tmp_path / "data.yaml").write_text("names: {0: a, 2: b}")
    with pytest.raises(DataError, match=r"the class ids have gaps: \[0, 2\]"):
        _ = Yolo(root=root).spec


def test_the_fingerprint_counts_the_texts(tmp_path):
    root = plant(tmp_path, {"a": "0 0.5 0.5 0.5 0.5"})
    before = Yolo(root=root).fingerprint()
    plant(tmp_path, {"a": ""})
    assert Yolo(root=root).fingerprint() != before
    assert len(pickle.loads(pickle.dumps(Yolo(root=root).open("train")))) == 1
