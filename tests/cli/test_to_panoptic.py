"""`segexp data to-panoptic`: a user's masks become a set that `data=coco_panoptic` reads."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segexp.cli.main import main
from segexp.data.coco_panoptic import CocoPanoptic
from segexp.data.nuclei import Nuclei
from segexp.doctor.check import check
from tests.data import panoptic_tree as tree

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "nuclei"


@pytest.fixture
def masks(tmp_path):
    for number in range(3):
        ids = np.roll(tree.scene(), number, axis=1)
        semantic = np.select([ids == 300, ids == 70000, ids == 0], [10, 30, 255], 20).astype(np.uint8)
        instances = np.select([ids == tree.IDS["first"], ids == 256], [1, 2], 0).astype(np.uint8)
        for kind, array in (("classes", semantic), ("objects", instances)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(array).save(tmp_path / kind / f"s{number}.png")
        tree.noise(tmp_path / f"set/images/train/s{number}.jpg", number)
    return tmp_path


def options(root, **changes):
    given = {
        "semantic": root / "classes",
        "instances": root / "objects",
        "classes": "sky:10,car:20,road:30",
        "things": "car",
        "out": root / "set",
        "images": root / "set/images/train",
    }
    return [f"--{name}={value}" for name, value in (given | changes).items() if value is not None]


def convert(root, **changes):
    return main(["data", "to-panoptic", *options(root, **changes)])


def test_masks_become_a_panoptic_set(masks, capsys):
    assert convert(masks) == 0
    out = capsys.readouterr().out
    assert "3 images, 15 segments, 3 of them crowds" in out
    assert f"segexp data browse data=coco_panoptic data.root={masks / 'set'}" in out
    data = CocoPanoptic(root=str(masks / "set"))
    assert (data.spec.names, data.spec.thing_ids) == (("sky", "car", "road"), (1,))
    sample = data.open("train")[1]
    ids = np.roll(tree.scene(), 1, axis=1)
    pairs = np.unique(np.stack([ids.ravel(), sample["segments"].numpy().ravel()]), axis=1)
    assert pairs.shape[1] == 6  # five segments and void, each to its own
    assert sample["segment_crowd"].tolist() == [label == 1 and crowd for label, crowd in zip([0, 1, 1, 1, 2], [0, 1, 0, 0, 0], strict=True)]
    assert check(data).findings == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"classes": None}, "--classes is missing"),
        ({"semantic": None, "instances": None}, "no masks are named"),
        ({"things": "bus"}, "'bus' is no class"),
        ({"semantic": None}, "instances alone don't tell their classes"),
        ({"loose": "maybe"}, "no such way"),
        ({"split": "dev"}, "no such split"),
        ({"classes": "sky:10,car:10"}, "'car:10' has no name, or a name or value of another class"),
        ({"classes": "sky:x"}, "'x' is no value of a mask"),
        ({"semantic": "nowhere"}, "there is no such folder"),
        ({"ignore": "0,10"}, "a value can't be a class and ignored: sky:10 of --classes; --ignore=0,10"),
    ],
)
def test_options_that_cant_be(masks, capsys, changes, told):
    assert convert(masks, **changes) == 2
    assert told in capsys.readouterr().err
    assert not (masks / "set/annotations").exists()


def missing_partner(root):
    (root / "objects/s1.png").unlink()


def two_of_a_stem(root):
    Image.new("L", (32, 24)).save(root / "objects/s1.tif")


def folder_and_file(root):
    (root / "objects/s1").mkdir()


def two_pictures(root):
    tree.noise(root / "set/images/train/s1.png", 1)


def picture_size(root):
    tree.noise(root / "set/images/train/s1.jpg", 1, (28, 32))


def missing_picture(root):
    (root / "set/images/train/s1.jpg").unlink()


def other_size(root):
    Image.new("L", (5, 5)).save(root / "objects/s1.png")


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (missing_partner, "1 masks lack their partner, the first: s1, which is in classes only"),
        (missing_picture, "a mask without a picture; s1"),
        (two_of_a_stem, "two of one name: s1.png and s1.tif"),
        (folder_and_file, "two of one name: s1 and s1.png"),
        (two_pictures, "two of one name: s1.jpg and s1.png"),
        (picture_size, "the picture is (28, 32), its masks are (24, 32) (height, width)"),
        (other_size, "the class mask is (24, 32), the instance mask (5, 5)"),
    ],
)
def test_masks_that_dont_fit_are_named(masks, capsys, plant, told):
    plant(masks)
    assert convert(masks) == 1
    assert told in capsys.readouterr().err
    assert not (masks / "set/annotations/panoptic_train.json").exists()


def test_an_unknown_option_and_an_override_are_refused(masks, capsys):
    assert main(["data", "to-panoptic", *options(masks), "--thing=car"]) == 2
    assert "unknown option --thing" in capsys.readouterr().err
    assert main(["data", "to-panoptic", *options(masks), "data=coco"]) == 2
    assert "to-panoptic takes options only" in capsys.readouterr().err


def test_the_help_teaches(capsys):
    assert main(["data", "to-panoptic", "--help"]) == 0
    out = capsys.readouterr().out
    for option in ("--semantic=", "--instances=", "--classes=", "--things=", "--loose=", "--ignore=", "--out="):
        assert option in out


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared)")
def test_instances_alone_give_the_published_segments(tmp_path):
    given = {"instances": SHARED / "labels/val", "classes": "nucleus,background", "things": "nucleus", "out": tmp_path, "split": "val"}
    assert convert(tmp_path, **given, semantic=None, images=None) == 0
    mine, theirs = CocoPanoptic(root=str(tmp_path)).open("val"), Nuclei(root=str(SHARED)).open("val")
    names = {mine.id(i): i for i in range(len(mine))}
    for index in range(0, 30, 10):
        path = mine.paths(names[theirs.id(index)])[1]
        first = mine.labels(names[theirs.id(index)], path, ())
        second = theirs[index]
        pairs = np.unique(np.stack([first["segments"].numpy().ravel(), second["segments"].numpy().ravel()]), axis=1)
        assert pairs.shape[1] == len(first["segment_labels"]) == len(second["segment_labels"])


def test_what_is_refused_before_the_first_image_leaves_no_folder(masks):
    missing_partner(masks)
    assert convert(masks, out=masks / "new/set") == 1
    assert not (masks / "new").exists()


@pytest.mark.parametrize("place", ["", "annotations", "annotations/panoptic_train"])
def test_a_file_in_the_way_of_the_result(masks, capsys, place):
    out = masks / "out"
    (out / place).parent.mkdir(parents=True, exist_ok=True)
    (out / place).write_text("mine")
    assert convert(masks, out=out) == 2
    assert "is a file, where a folder is wanted; --out=" in capsys.readouterr().err
    assert (out / place).read_text() == "mine"


def test_only_pictures_are_pictures(masks):
    (masks / "set/images/train/s0.json").write_text("{}")
    assert convert(masks) == 0
    opened = CocoPanoptic(root=str(masks / "set")).open("train")
    assert [opened.key(i) for i in range(3)] == ["s0.jpg", "s1.jpg", "s2.jpg"]


def test_the_default_of_ignore_gives_way_to_a_class(masks):
    assert convert(masks, classes="sky:10,car:20,road:30,none:255") == 0


def test_a_picture_that_lies_on_its_side_by_its_exif(masks):
    path = masks / "set/images/train/s1.jpg"
    turned = Image.new("RGB", (24, 32))
    exif = turned.getexif()
    exif[274] = 6
    turned.save(path, exif=exif)
    assert convert(masks) == 0


def test_a_folder_of_masks_is_called_as_its_picture_with_all_dots(masks):
    for number in range(3):
        array = np.asarray(Image.open(masks / f"objects/s{number}.png"))
        (masks / f"folders/s.v{number}").mkdir(parents=True)
        for place in (1, 2):
            Image.fromarray((array == place).astype(np.uint8)).save(masks / f"folders/s.v{number}/{place}.png")
        for folder, ending in (("classes", "png"), ("set/images/train", "jpg")):
            (masks / f"{folder}/s{number}.{ending}").rename(masks / f"{folder}/s.v{number}.{ending}")
    assert convert(masks, instances=masks / "folders") == 0
    opened = CocoPanoptic(root=str(masks / "set")).open("train")
    assert [opened.id(i) for i in range(3)] == ["train/s.v0", "train/s.v1", "train/s.v2"]
    assert [len(opened[i]["segment_labels"]) for i in range(3)] == [5, 5, 5]
