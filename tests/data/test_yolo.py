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
    with pytest.raises(DataError, match=r"the class ids aren't 0, 1, \.\.\. without a gap: \[0, 2\]"):
        _ = Yolo(root=root).spec


def test_the_fingerprint_counts_the_texts(tmp_path):
    root = plant(tmp_path, {"a": "0 0.5 0.5 0.5 0.5"})
    before = Yolo(root=root).fingerprint()
    plant(tmp_path, {"a": ""})
    assert Yolo(root=root).fingerprint() != before
    assert len(pickle.loads(pickle.dumps(Yolo(root=root).open("train")))) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("names: 2", "a list of different names is wanted, not 2; names of .*data.yaml; fix: names: "),
        ("names: car", "a list of different names is wanted, not car"),
        ("names: []", r"a list of different names is wanted, not \[\]"),
        ("names: {}", r"a list of different names is wanted, not \[\]"),
        ("names: [a, a]", "a list of different names is wanted"),
        ("names: {0: a, 1: a}", "a list of different names is wanted"),
        ("names: {0: a, x: b}", r"the class ids aren't 0, 1, \.\.\. without a gap: \[0, 'x'\]"),
        ("names: [a, b]\nnc: 3", "nc is 3, yet 2 names are listed"),
        ("names: [a, b]\nnc: many", "nc is many, yet 2 names are listed"),
    ],
)
def test_names_that_cannot_be_understood_are_refused(tmp_path, text, told):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=told):
        _ = Yolo(root=str(tmp_path)).spec
    assert Yolo(root=str(tmp_path), classes=["mine"]).spec.names == ("mine",)


@pytest.mark.parametrize("classes", ["car", [], ["a", "a"]])
def test_given_classes_are_a_list_of_different_names(tmp_path, classes):
    with pytest.raises(ConfigError, match=r"a list of different names is wanted; data\.classes="):
        Yolo(root=str(tmp_path), classes=classes)


def test_nc_that_agrees_with_the_names_is_fine(tmp_path):
    (tmp_path / "data.yaml").write_text("names: [a, b]\nnc: 2")
    assert Yolo(root=str(tmp_path)).spec.names == ("a", "b")


def test_clipped_boxes_are_told_from_a_hundredth_of_the_picture_on(tmp_path):
    root = plant(tmp_path, {"a": "0 0.9 0.5 0.4 0.5\n0 0.5 0.5 1.01 0.5"})
    found = [f.what for f in check(Yolo(root=root)).findings if f.kind == "box-clipped"]
    assert len(found) == 1
    assert found[0].startswith("image train/a, line 1: its box [0.7, 0.25, 1.1, 0.75] reaches beyond the picture")


def test_a_split_of_several_folders_and_lists(tmp_path):
    for name in ("x", "y"):
        plant(tmp_path, {"a": "0 0.5 0.5 0.5 0.5", name: ""}, split=name)
    (tmp_path / "list.txt").write_text("images/y/a.png\n")
    (tmp_path / "data.yaml").write_text("names: [cat]\ntrain: [images/x, images/y, list.txt]")
    split = Yolo(root=str(tmp_path)).open("train")
    assert [split.id(i) for i in range(len(split))] == ["train/images/x/a", "train/x", "train/images/y/a", "train/y"]
    (tmp_path / "data.yaml").write_text("names: [cat]\ntrain: [images/x, images/z]")
    with pytest.raises(DataError, match=r"train names what isn't there, or has no pictures: images/z; .*data\.yaml; fix:"):
        Yolo(root=str(tmp_path)).open("train")
    (tmp_path / "data.yaml").write_text("names: [cat]\ntrain: {a: images/x}")
    with pytest.raises(DataError, match=r"not \{'a': 'images/x'\}"):
        Yolo(root=str(tmp_path)).open("train")


def test_a_list_that_is_no_text_is_refused(tmp_path):
    plant(tmp_path, {"a": ""})
    (tmp_path / "data.yaml").write_text("names: [cat]\nval: list.txt")
    (tmp_path / "list.txt").write_bytes(b"images/train/\xff.png\n")
    with pytest.raises(DataError, match=r"the list isn't text; .*list\.txt; fix: restore it"):
        Yolo(root=str(tmp_path)).open("val")
