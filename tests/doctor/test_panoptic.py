"""Planted defects of panoptic annotations: each is found, by the ids of image and segment, and nothing else is."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segexp.data.cityscapes import Cityscapes
from segexp.data.coco import Coco
from segexp.data.coco_panoptic import CocoPanoptic
from segexp.data.nuclei import Nuclei
from segexp.doctor.check import check
from segexp.formats.coco_panoptic import CityscapesPanopticWriter
from tests.data import panoptic_tree as tree
from tests.data.test_cityscapes import LABEL_IDS, write

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data"
PNG = "annotations/panoptic_train/000001.png"


def edit(root, change, path="annotations/panoptic_train.json"):
    import json

    found = json.loads((root / path).read_text())
    change(found)
    (root / path).write_text(json.dumps(found))


def segment(**changes):
    """Changes what the JSON says of the first segment of image 1, a car of id 256."""
    return lambda root: edit(root, lambda found: found["annotations"][0]["segments_info"][0].update(changes))


def stuff(**changes):
    """The same of its sky, id 300."""
    return lambda root: edit(root, lambda found: found["annotations"][0]["segments_info"][1].update(changes))


def listed(change):
    return lambda root: edit(root, lambda found: change(found["annotations"][0]["segments_info"]))


def whole(change, split="train"):
    return lambda root: edit(root, change, f"annotations/panoptic_{split}.json")


def ids():
    return np.roll(tree.scene(), 1, axis=1)


def repaint(change):
    return lambda root: tree.put_ids(root / PNG, change(ids()))


def cut(root):
    path = root / PNG
    path.write_bytes(path.read_bytes()[:60])


COCO = {  # name -> (kind, plant, what is told)
    "not in the JSON": ("segment-unlisted", listed(lambda s: s.pop(0)), "image 1, segment 256: in 48 pixels of the PNG"),
    "not in the PNG": ("segment-missing", listed(lambda s: s.append(s[0] | {"id": 9})), "image 1, segment 9: in the JSON"),
    "painted over": ("segment-missing", repaint(lambda a: np.where(a == 256, 0, a)), "image 1, segment 256"),
    "twice": ("segment-twice", listed(lambda s: s.append(dict(s[0]))), "image 1, segment 256: listed 2 times"),
    "unknown category": ("segment-category", segment(category_id=8), "image 1, segment 256: category 8"),
    "category of no whole number": ("segment-category", segment(category_id=9.0), "image 1, segment 256: its category_id is no whole"),
    "a negative category": ("segment-category", segment(category_id=-2), "image 1, segment 256: category -2, which isn't among"),
    "no category": ("segment-category", segment(category_id=None), "image 1, segment 256: no category"),
    "area": ("segment-area", segment(area=5), "image 1, segment 256: the JSON gives the area 5, the PNG has 48"),
    "box": ("segment-box", segment(bbox=[0, 0, 2, 2]), "image 1, segment 256: the JSON gives the box [0, 0, 2, 2]"),
    "void is listed": ("segment-id", listed(lambda s: s.append(s[0] | {"id": 0})), "image 1, segment 0"),
    "no id": ("segment-id", listed(lambda s: s.append(s[0] | {"id": "x"})), "image 1, segment -1"),
    "iscrowd": ("segment-crowd", segment(iscrowd=3), "image 1, segment 256: iscrowd is neither 0 nor 1"),
    "a crowd of stuff": ("stuff-crowd", stuff(iscrowd=1), "image 1, segment 300: a crowd of category 3, which is stuff"),
    "stuff in parts": ("stuff-twice", segment(category_id=3), "image 1, segments 256, 300: all are of category 3"),
    "size in the JSON": ("json-size", whole(lambda f: f["images"][0].update(width=31)), "image 1: the JSON says 31x24"),
    "8 bit": (
        "grey-ids",
        lambda root: Image.fromarray(ids().astype(np.uint8)).save(root / PNG),
        "image 1: a grey PNG: ids were cut to 8 bit",
    ),
    "ids as grey": (
        "grey-ids",
        lambda root: Image.fromarray(np.minimum(ids(), 300).astype(np.uint16)).save(root / PNG),
        "image 1: a grey PNG that holds the ids as values",
    ),
    "no annotation": ("unannotated", whole(lambda f: f["annotations"].pop(0)), "image 1 has no annotation"),
    "image twice": ("json-image-twice", whole(lambda f: f["images"].append(f["images"][0])), "image 1 is listed twice"),
    "annotated twice": (
        "json-annotation-twice",
        whole(lambda f: f["annotations"].append(f["annotations"][0])),
        "image 1 has two annotations",
    ),
    "no such image": (
        "json-no-image",
        whole(lambda f: f["annotations"].append(f["annotations"][0] | {"image_id": 77})),
        "is of image 77, which isn't among the images",
    ),
    "no file name": ("json-entry", whole(lambda f: f["images"].append({"id": 5})), "entry 4 of images has no id, or no file_name"),
    "no segments": (
        "json-entry",
        whole(lambda f: f["annotations"].append({"image_id": 1, "file_name": "000001.png"}) or f["annotations"].pop(0)),
        "the annotation of image 1 has no file_name, or its segments_info is no list",
    ),
    "not a segment": (
        "json-entry",
        listed(lambda s: s.append([7])),
        "image 1: entry 6 of segments_info is no segment with id and category_id: [7]",
    ),
    "no isthing": (
        "no-isthing",
        lambda root: [whole(lambda f: [c.pop("isthing") for c in f["categories"]], split)(root) for split in ("train", "val")],
        "train: none of the 3 categories has isthing",
    ),
    "a colour beyond 255": (
        "category-color",
        whole(lambda f: f["categories"][2].update(color=[300, 0, 0]), "val"),
        "val: colours that are none: 200 (road) has [300, 0, 0]",
    ),
    "other categories": (
        "categories",
        whole(lambda f: f["categories"][1].update(name="truck"), "val"),
        "the categories of val differ from those of the set: 7 is",
    ),
    "no PNG": ("missing-labels", lambda root: (root / PNG).unlink(), "the file is missing"),
    "no picture": ("missing-image", lambda root: (root / "images/train/000001.png").unlink(), "the file is missing"),
    "picture of another size": (
        "size-mismatch",
        lambda root: tree.noise(root / "images/train/000001.png", 1, (28, 32)),
        "the picture is 32x28",
    ),
    "PNG without annotation": (
        "orphan-labels",
        lambda root: tree.put_ids(root / "annotations/panoptic_train/000009.png", ids()),
        "labels without a picture",
    ),
    "cut off": ("truncated-file", cut, "can't be decoded"),
    "lossy": ("jpeg-labels", lambda root: Image.open(root / PNG).save(root / PNG, format="JPEG"), "labels are stored as JPEG"),
    "in both splits": (
        "leakage",
        lambda root: tree.noise(root / "images/val/000102.png", 1),
        "the same picture is in train and val",
    ),
}
ALSO = {  # what one defect brings along
    "no annotation": {"all-ignored", "orphan-labels", "unlisted-sample"},
    "no segments": {"unannotated", "all-ignored", "orphan-labels", "unlisted-sample"},
    "lossy": {"wrong-suffix", "segment-unlisted", "segment-missing", "segment-area", "segment-box"},
    "cut off": {"json-size"},
    "no isthing": {"stuff-crowd", "stuff-twice"},
}


@pytest.fixture
def coco(tmp_path):
    return tree.plant(tmp_path / "set")


def test_silent_on_a_clean_tree(coco):
    assert check(CocoPanoptic(root=str(coco))).findings == []
    assert check(CocoPanoptic(root=str(coco), annotation="semantic")).findings == []


@pytest.mark.parametrize("name", COCO)
def test_planted_in_coco_panoptic(coco, name):
    kind, plant, told = COCO[name]
    plant(coco)
    found = check(CocoPanoptic(root=str(coco))).findings
    mine = [finding for finding in found if finding.kind == kind]
    assert mine, [finding.line() for finding in found]
    assert any(told in finding.line() for finding in mine), [finding.line() for finding in mine]
    assert {finding.kind for finding in found} <= {kind} | ALSO.get(name, set())


def test_a_change_of_the_json_alone_is_seen(coco, tmp_path):
    cache = tmp_path / "cache"
    assert check(CocoPanoptic(root=str(coco)), cache=cache).findings == []
    segment(area=5)(coco)
    found = check(CocoPanoptic(root=str(coco)), cache=cache)
    assert [finding.kind for finding in found.findings] == ["segment-area"]
    assert sum(scan.reread for scan in found.scans) == 1


STEM = "ulm_000000_000001"
GT = f"gtFine/train/ulm/{STEM}_gtFine_"
JSON = "gtFine/cityscapes_panoptic_train.json"
CONVERTED = f"gtFine/cityscapes_panoptic_train/{STEM}_gtFine_panoptic.png"


def street(number):
    scene = np.full(tree.SIZE, 7)
    scene[:6] = 23
    scene[0] = 4  # static: void
    scene[8:12, 2:8] = 26000
    scene[8:14, 12:20] = 26001
    scene[16:20, 22:28] = 26  # a group of cars
    return np.roll(scene, number, axis=1)


@pytest.fixture
def cityscapes(tmp_path):
    root, train_ids = tmp_path / "set", np.full(256, 255, np.uint8)
    train_ids[list(LABEL_IDS)] = range(19)
    for split, city, first in (("train", "ulm", 1), ("val", "bonn", 11)):
        for number in range(first, first + 3):
            stem, values = f"{city}_000000_{number:06d}", street(number)
            labels = np.where(values >= 1000, values // 1000, values).astype(np.uint8)
            tree.noise(root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", number)
            for kind, array in (("instanceIds", values.astype(np.uint16)), ("labelIds", labels), ("labelTrainIds", train_ids[labels])):
                write(root / f"gtFine/{split}/{city}/{stem}_gtFine_{kind}.png", array)
    data = Cityscapes(root=str(root), annotation="panoptic")
    for split in ("train", "val"):
        opened = data.open(split)
        with CityscapesPanopticWriter(root / "gtFine", data.spec, name=f"cityscapes_panoptic_{split}") as writer:
            for index in range(len(opened)):
                s = opened[index]
                writer.add(opened.id(index), s["meta"]["size"], s["segments"], s["segment_labels"], crowd=s["segment_crowd"])
    return root


def change_map(kind, value, region=np.s_[16:18, 2:4], dtype=np.uint8):
    def plant(root):
        path = root / f"{GT}{kind}.png"
        array = np.asarray(Image.open(path)).astype(np.int64)
        array[region] = value
        write(path, array.astype(dtype))

    return plant


def unlink(name):
    return lambda root: (root / name).unlink()


def info(**changes):
    """Changes what the JSON says of the first segment of the first picture, the road."""
    return lambda root: edit(root, lambda found: found["annotations"][0]["segments_info"][0].update(changes), JSON)


def in_json(change):
    return lambda root: edit(root, change, JSON)


def wider(name):
    return lambda root: write(root / name, np.zeros((24, 40), np.uint8))


CITYSCAPES = {
    "label ids": ("labels-disagree", change_map("labelIds", 8), f"image {STEM}, instance 7: 4 pixels of it are label 8 by labelIds"),
    "train ids": (
        "labels-disagree",
        change_map("labelTrainIds", 3),
        f"image {STEM}, train id 3: 4 pixels of it are train id 0 by labelIds",
    ),
    "a numbered road": ("stuff-instance", change_map("instanceIds", 7003, np.s_[20:], np.uint16), f"image {STEM}, instance 7003"),
    "no such label": ("label-value", change_map("instanceIds", 40001, np.s_[20:], np.uint16), "instance values [40001] of no label id"),
    "no label ids": ("label-file", unlink(f"{GT}labelIds.png"), f"image {STEM}: the file is missing"),
    "no train ids": ("label-file", unlink(f"{GT}labelTrainIds.png"), f"image {STEM}: the file is missing"),
    "no instance ids": ("missing-labels", unlink(f"{GT}instanceIds.png"), "the file is missing"),
    "sizes": ("label-sizes", wider(f"{GT}labelIds.png"), f"image {STEM}: the label files differ in size"),
    "colours": (
        "color-labels",
        lambda root: write(root / f"{GT}instanceIds.png", np.full((24, 32, 3), 7, np.uint8)),
        "labels are stored as colours",
    ),
    "no picture": ("orphan-labels", unlink(f"leftImg8bit/train/ulm/{STEM}_leftImg8bit.png"), "labels without a picture"),
    "picture of another size": (
        "size-mismatch",
        lambda root: tree.noise(root / f"leftImg8bit/train/ulm/{STEM}_leftImg8bit.png", 1, (28, 32)),
        "the picture is 32x28",
    ),
    "area": ("segment-area", info(area=3), f"image {STEM}, segment 7: the JSON gives the area 3"),
    "box": ("segment-box", info(bbox=[0, 0, 1, 1]), f"image {STEM}, segment 7: the JSON gives the box"),
    "category": ("segment-category", info(category_id=99), f"image {STEM}, segment 7: category 99"),
    "not in the JSON": (
        "segment-unlisted",
        in_json(lambda f: f["annotations"][0]["segments_info"].pop(0)),
        f"image {STEM}, segment 7: in ",
    ),
    "not in the PNG": (
        "segment-missing",
        in_json(lambda f: f["annotations"][0]["segments_info"].append({"id": 24000, "category_id": 24})),
        f"image {STEM}, segment 24000: in the JSON",
    ),
    "twice": (
        "segment-twice",
        in_json(lambda f: f["annotations"][0]["segments_info"].append(f["annotations"][0]["segments_info"][0])),
        f"image {STEM}, segment 7: listed 2 times",
    ),
    "8 bit": (
        "grey-ids",
        lambda root: write(root / CONVERTED, np.where(street(1) == 4, 0, street(1)).astype(np.uint8)),
        f"image {STEM}: a grey PNG",
    ),
    "no panoptic PNG": ("label-file", unlink(CONVERTED), f"image {STEM}: the panoptic PNG is missing"),
    "not converted": ("unannotated", in_json(lambda f: (f["images"].pop(0), f["annotations"].pop(0))), f"image {STEM} isn't in the"),
    "no such picture": (
        "json-no-picture",
        in_json(lambda f: f["images"].append(f["images"][0] | {"id": "ulm_000000_000099"})),
        "image ulm_000000_000099 of the JSON has no picture",
    ),
    "no such image": (
        "json-no-image",
        in_json(lambda f: f["annotations"].append(f["annotations"][0] | {"image_id": "ulm_9"})),
        "is of image ulm_9",
    ),
    "broken JSON": ("json-entry", lambda root: (root / JSON).write_text("{"), "not valid JSON"),
}
WITH = {  # what one defect brings along
    "label ids": {"labels-disagree"},
    "a numbered road": {"labels-disagree"},
    "no such label": {"stuff-instance", "labels-disagree"},
    "no picture": {"json-no-picture"},
}


def test_silent_on_a_clean_cityscapes(cityscapes):
    for annotation in ("semantic", "panoptic", "instances"):
        assert check(Cityscapes(root=str(cityscapes), annotation=annotation)).findings == []


@pytest.mark.parametrize("name", CITYSCAPES)
def test_planted_in_cityscapes(cityscapes, name):
    kind, plant, told = CITYSCAPES[name]
    plant(cityscapes)
    found = check(Cityscapes(root=str(cityscapes), annotation="panoptic")).findings
    mine = [finding for finding in found if finding.kind == kind]
    assert any(told in finding.line() for finding in mine), [finding.line() for finding in found]
    assert {finding.kind for finding in found} <= {kind} | WITH.get(name, set()), [finding.line() for finding in found]


def test_another_conversion_than_the_instances(cityscapes):
    change_map("instanceIds", 7, np.s_[8:12], np.uint16)(cityscapes)
    change_map("labelIds", 7, np.s_[8:12])(cityscapes)
    change_map("labelTrainIds", 0, np.s_[8:12])(cityscapes)
    found = check(Cityscapes(root=str(cityscapes), annotation="panoptic")).findings
    assert [finding.kind for finding in found] == ["labels-disagree"] * 2
    assert f"image {STEM}, segment 26000: 24 pixels of it in the panoptic PNG are something else in instanceIds" in found[0].what


REAL = {
    "coco": lambda: Coco(root=str(SHARED / "coco")),
    "nuclei": lambda: Nuclei(root=str(SHARED / "nuclei")),
    "cityscapes": lambda: Cityscapes(root=str(SHARED / "cityscapes_layout"), annotation="instances"),
}


@pytest.mark.skipif(not (SHARED / "coco").is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared)")
@pytest.mark.parametrize("name", REAL)
def test_silent_on_real_sets(name):
    assert check(REAL[name](), limit=30).findings == []
