"""Any JSON and PNG of COCO's panoptic form."""

import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from segexp.data.coco_panoptic import CocoPanoptic
from segexp.errors import ConfigError, DataError
from segexp.formats.coco_panoptic import PanopticWriter
from segexp.targets import derive
from segexp.types import ClassInfo, DataSpec
from tests.data import panoptic_tree as tree

SPEC = DataSpec((ClassInfo("a"),), frozenset({"segments"}))


@pytest.fixture
def root(tmp_path):
    return tree.plant(tmp_path / "set")


def edit(root, change, split="train"):
    found = tree.read(root, split)
    change(found)
    tree.write(root, split, found)


def first_segments(found):
    return found["annotations"][0]["segments_info"]


def test_classes_are_the_categories_in_their_order(root):
    spec = CocoPanoptic(root=str(root)).spec
    assert spec.names == ("sky", "car", "road")
    assert spec.thing_ids == (1,)
    assert spec.values == (3, 7, 200)
    assert spec.classes[2].color == (128, 64, 128)
    assert spec.provides == {"segments"}


def test_a_sample(root):
    split = CocoPanoptic(root=str(root)).open("val")
    sample = split[1]
    assert split.id(1) == sample["meta"]["id"] == "val/000102"
    ids = np.roll(tree.scene(), 102, axis=1)
    order = np.unique(ids[ids > 0])
    assert sample["segments"].dtype == torch.int32
    assert np.array_equal(np.array([0, *order])[sample["segments"]], ids)
    assert sample["segment_labels"].tolist() == [{300: 0, 70000: 2}.get(number, 1) for number in order.tolist()]
    assert sample["segment_crowd"].tolist() == [number == tree.IDS["crowd"] for number in order.tolist()]
    assert split.image_ids() == {"000101": 101, "000102": 102, "000103": 103}


def test_classes_alone(root):
    semantic = CocoPanoptic(root=str(root), annotation="semantic")
    segments = CocoPanoptic(root=str(root))
    sample = semantic.open("train")[0]
    assert semantic.spec.provides == {"semantic"}
    assert torch.equal(sample["semantic"], derive(segments.open("train")[0], {"semantic"}, segments.spec).semantic)


def test_a_split_travels_to_a_worker(root):
    split = CocoPanoptic(root=str(root)).open("train")
    assert torch.equal(pickle.loads(pickle.dumps(split))[2]["segments"], split[2]["segments"])


def test_many_objects_are_arrays_not_python_objects(root):
    split = CocoPanoptic(root=str(root)).open("train")
    assert all(isinstance(column, np.ndarray) for column in split.found.segments)
    assert len(split.found.segments.ids) == 15
    assert split.found.start.tolist() == [0, 5, 10, 15]


def test_an_image_without_annotation_is_void(root):
    edit(root, lambda found: found["annotations"].pop(1))
    split = CocoPanoptic(root=str(root)).open("train")
    assert split[1]["segments"].unique().tolist() == [0]
    assert len(split[1]["segment_labels"]) == 0
    assert len(split[2]["segment_labels"]) == 5


def test_area_and_box_may_be_missing(root):
    def strip(found):
        for segment in first_segments(found):
            del segment["area"], segment["bbox"], segment["iscrowd"]

    edit(root, strip)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample = CocoPanoptic(root=str(root)).open("train")[0]
    assert not sample["segment_crowd"].any()


def test_a_wrong_area_is_refused(root):
    edit(root, lambda found: first_segments(found)[0].update(area=99999))
    with pytest.raises(DataError, match="image 1, segment 256: the JSON gives the area 99999, the PNG has 48 pixels; "):
        CocoPanoptic(root=str(root)).open("train")[0]


def erase(number):
    def change(root):
        path = root / "annotations/panoptic_train/000001.png"
        ids = np.roll(tree.scene(), 1, axis=1)
        ids[ids == number] = 300
        tree.put_ids(path, ids)

    return change


def cut_to_8_bit(root):
    ids = np.roll(tree.scene(), 1, axis=1)
    Image.fromarray(ids.astype(np.uint8)).save(root / "annotations/panoptic_train/000001.png")


def smaller(root):
    tree.put_ids(root / "annotations/panoptic_train/000001.png", np.roll(tree.scene(), 1, axis=1)[:-1])


REFUSED = {
    "in the JSON only": (erase(256), r"image 1, segment 256: in the JSON, and in no pixel of the PNG"),
    "in the PNG only": (
        lambda root: edit(root, lambda found: first_segments(found).pop(0)),
        r"image 1, segment 256: in 48 pixels of the PNG, and not in the JSON",
    ),
    "twice": (
        lambda root: edit(root, lambda found: first_segments(found).append(dict(first_segments(found)[0]))),
        r"image 1, segment 256: listed 2 times; segments don't overlap",
    ),
    "category": (
        lambda root: edit(root, lambda found: first_segments(found)[0].update(category_id=8)),
        r"image 1, segment 256: category 8, which isn't among the categories",
    ),
    "category of no whole number": (
        lambda root: edit(root, lambda found: first_segments(found)[0].update(category_id=7.0)),
        r"image 1, segment 256: its category_id is no whole number",
    ),
    "void as a segment": (
        lambda root: edit(root, lambda found: first_segments(found)[0].update(id=0)),
        r"image 1, segment 0: an id is a whole number from 1 to 16777215",
    ),
    "crowd": (
        lambda root: edit(root, lambda found: first_segments(found)[0].update(iscrowd=2)),
        r"image 1, segment 256: iscrowd is neither 0 nor 1",
    ),
    "size": (smaller, r"image 1: the JSON says 32x24 \(width x height\), the PNG is 32x23"),
    "8 bit": (cut_to_8_bit, r"image 1: a grey PNG: ids were cut to 8 bit, such as 256 to 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_contradictions_are_refused_with_image_and_segment(root, name):
    plant, told = REFUSED[name]
    plant(root)
    split = CocoPanoptic(root=str(root)).open("train")
    with pytest.raises(DataError, match=told) as error:
        split[0]
    assert "000001.png" in error.value.where
    assert split[1]["segments"].any()


def test_the_layout_of_ade20k(tmp_path):
    tree.plant(tmp_path)
    for split, long in (("train", "training"), ("val", "validation")):
        (tmp_path / f"annotations/panoptic_{split}").rename(tmp_path / f"ade20k_panoptic_{split}")
        (tmp_path / f"annotations/panoptic_{split}.json").rename(tmp_path / f"ade20k_panoptic_{split}.json")
        (tmp_path / f"images/{split}").rename(tmp_path / f"images/{long}")
    data = CocoPanoptic(root=str(tmp_path))
    assert data.splits == ("train", "val")
    assert len(data.open("val")[0]["segment_labels"]) == 5


def test_named_places(root):
    named = CocoPanoptic(
        root=str(root),
        json={"train": "annotations/panoptic_val.json"},
        masks={"train": "annotations/panoptic_val"},
        images="images/val",
    )
    assert named.splits == ("train",)
    assert len(named.open("train")[0]["segment_labels"]) == 5
    pattern = CocoPanoptic(root=str(root), json="annotations/panoptic_{split}.json", images="images/{split}")
    assert pattern.splits == ("train", "val")
    assert CocoPanoptic(root=str(root), json="annotations/panoptic_val.json").splits == ("train",)


def test_given_classes_need_no_disk():
    listed = [{"id": 4, "name": "cell", "isthing": 1}, {"id": 9, "name": "rest"}]
    spec = CocoPanoptic(root="nowhere", classes=listed).spec
    assert (spec.names, spec.thing_ids, spec.values) == (("cell", "rest"), (0,), (4, 9))


@pytest.mark.parametrize(
    ("categories", "told"),
    [
        ([], "no categories"),
        ([{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], r"category 1 \(b\) is listed twice"),
        ([{"id": "1", "name": "a"}], "category 1 has no number as id"),
    ],
)
def test_categories_that_cant_be_used(root, categories, told):
    edit(root, lambda found: found.update(categories=categories))
    with pytest.raises(DataError, match=told):
        _ = CocoPanoptic(root=str(root)).spec


def test_what_isnt_there_is_told(tmp_path, root):
    with pytest.raises(ConfigError, match="no annotations are there") as error:
        CocoPanoptic(root=str(tmp_path / "empty")).open("train")
    assert "annotations/panoptic_train.json" in error.value.fix
    with pytest.raises(ConfigError, match="has no split 'test'"):
        CocoPanoptic(root=str(root)).open("test")
    with pytest.raises(ConfigError, match="no such annotation"):
        CocoPanoptic(root=str(root), annotation="dots")
    with pytest.raises(ConfigError, match="a panoptic JSON has no objects"):
        CocoPanoptic(root=str(root), annotation="instances")
    with pytest.raises(ConfigError, match="this names no paths"):
        CocoPanoptic(root=str(root), json={"dev": "a.json"})


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"images": [3], "categories": tree.CATEGORIES})])
def test_a_broken_json_is_named(root, text):
    (root / "annotations/panoptic_train.json").write_text(text)
    with pytest.raises(DataError, match=r"not valid JSON|not of COCO's form") as error:
        CocoPanoptic(root=str(root), classes=tree.CATEGORIES).open("train")
    assert "panoptic_train.json" in error.value.where


def test_the_fingerprint_follows_the_files(root):
    before = CocoPanoptic(root=str(root)).fingerprint()
    tree.put_ids(root / "annotations/panoptic_train/000001.png", np.full(tree.SIZE, 300))
    assert CocoPanoptic(root=str(root)).fingerprint() != before


def test_image_ids_are_the_jsons_own(root):
    def texts(found):
        found["images"][0]["id"] = found["annotations"][0]["image_id"] = "0001"

    edit(root, texts)
    split = CocoPanoptic(root=str(root)).open("train")
    assert split.image_ids() == {"000001": "0001", "000002": 2, "000003": 3}
    with PanopticWriter(root / "out", SPEC, image_ids=split.image_ids()) as writer:
        for index in range(3):
            writer.add(split.id(index), (1, 1), torch.zeros(1, 1, dtype=torch.int32), torch.zeros(0))
    assert [image["id"] for image in json.loads(writer.json.read_text())["images"]] == ["0001", 2, 3]


def test_pictures_of_one_stem_in_different_folders(root):
    def move(found):
        for number, folder in ((1, "a"), (2, "b")):
            (root / f"images/train/{folder}").mkdir()
            (root / f"images/train/{number:06d}.png").rename(root / f"images/train/{folder}/x.png")
            found["images"][number - 1]["file_name"] = f"{folder}/x.png"

    edit(root, move)
    split = pickle.loads(pickle.dumps(CocoPanoptic(root=str(root)).open("train")))
    assert [split.id(i) for i in range(3)] == ["train/a/x", "train/b/x", "train/000003"]
    assert [split[i]["meta"]["id"] for i in range(2)] == ["train/a/x", "train/b/x"]
    assert split.image_ids() == {"a__x": 1, "b__x": 2, "000003": 3}


def test_a_single_json_is_that_of_train(root):
    with pytest.raises(ConfigError, match="has no split 'val' here") as error:
        CocoPanoptic(root=str(root), json="annotations/panoptic_val.json").open("val")
    assert error.value.fix == "data.json={train: annotations/panoptic_val.json, val: <json>}, or data.split=train"


def test_given_classes_are_checked_before_the_disk_is_touched():
    with pytest.raises(ConfigError, match="this is no list of categories"):
        CocoPanoptic(root="nowhere", classes=5)


def test_a_file_of_classes(root):
    with pytest.raises(ConfigError, match=r"there is no such file; data.classes=.*nope.json"):
        _ = CocoPanoptic(root=str(root), classes="nope.json").spec
    (root / "classes.json").write_text(json.dumps(tree.CATEGORIES))
    assert CocoPanoptic(root=str(root), classes="classes.json").spec.names == ("sky", "car", "road")
