"""Objects of a JSON of COCO's form: bad ones are left out or refused, by the rules of `segexp.data.objects`."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from segexp.data.coco import Coco
from segexp.data.coco_instances import CocoInstances
from segexp.data.nuclei import Nuclei
from segexp.datamodule import announce
from segexp.doctor.check import check
from segexp.errors import ConfigError, DataError
from segexp.targets import derive
from tests.data import panoptic_tree as tree

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data"
SQUARE = [[4.0, 2.0, 10.0, 2.0, 10.0, 8.0, 4.0, 8.0]]
HEIGHT, WIDTH = tree.SIZE
CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]  # a gap, and not in order


def thing(number, image=1, **change):
    plain = {"id": number, "image_id": image, "category_id": 7, "iscrowd": 0, "bbox": [4, 2, 6, 6], "segmentation": SQUARE}
    return {key: value for key, value in (plain | change).items() if value != "gone"}


def plant(root, things, **change):
    images = [{"id": n, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for n in (1, 2)]
    for image in images:
        tree.noise(root / "images/train" / image["file_name"], image["id"])
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    found = {"images": images, "annotations": things, "categories": CATEGORIES} | change
    (root / "annotations/instances_train.json").write_text(json.dumps(found))
    return str(root)


def test_boxes_are_read_without_masks(tmp_path):
    root = plant(tmp_path, [thing(1), thing(2, category_id=3, iscrowd=1, bbox=[0.5, 1, 2.25, 3], segmentation="gone")])
    data = CocoInstances(root=root, annotation="boxes")
    assert (data.spec.names, data.spec.thing_ids, data.spec.values, data.spec.provides) == (("cat", "dog"), (0, 1), (7, 3), {"boxes"})
    sample = data.open("train")[0]
    assert sample["boxes"].tolist() == [[4, 2, 10, 8], [0.5, 1, 2.75, 4]]
    assert (sample["labels"].tolist(), sample["crowd"].tolist()) == ([0, 1], [False, True])
    assert tuple(derive(data.open("train")[1], {"boxes"}, data.spec).boxes.shape) == (0, 4)


BAD_BOXES = [
    thing(1, bbox=[4, 2, 0, 6]),
    thing(2, bbox=[4, 2, -3, 6]),
    thing(3, bbox=[WIDTH, 2, 6, 6]),
    thing(4, bbox="gone"),
    thing(5, bbox=[1, 2, "x", 4]),
    thing(6, bbox=[WIDTH - 4, 2, 60, 6]),
    thing(7),
    thing(7, bbox=[1, 1, 2, 2]),
]


def test_useless_boxes_are_left_out_counted_and_listed(tmp_path, capsys):
    root = plant(tmp_path, BAD_BOXES)
    data = CocoInstances(root=root, annotation="boxes")
    split = data.open("train")
    assert split[0]["boxes"].tolist() == [[WIDTH - 4, 2, WIDTH, 8], [4, 2, 10, 8]]
    announce(split, 2)
    told = "train: 6 of 8 objects are left out (2 box-missing, 1 object-twice, 1 box-empty, 1 box-inverted, 1 box-outside)"
    assert told in capsys.readouterr().out
    kinds = ["box-empty", "box-inverted", "box-outside", "box-missing", "box-missing", "box-clipped"]
    found = {(f.kind, f.what.partition(":")[0]) for f in check(data).findings if f.kind.startswith(("box", "object"))}
    assert found == {(kind, f"image 1, annotation {n}") for n, kind in enumerate(kinds, 1)} | {("object-twice", "image 1, annotation 7")}


def test_an_image_is_kept_if_all_its_objects_go(tmp_path):
    split = CocoInstances(root=plant(tmp_path, BAD_BOXES[:3]), annotation="boxes").open("train")
    assert (len(split), tuple(split[0]["boxes"].shape)) == (2, (0, 4))


def test_useless_masks_are_left_out_counted_and_listed(tmp_path, capsys):
    pytest.importorskip("faster_coco_eval", reason="needs the extra coco")
    bad = [
        thing(1, segmentation="gone"),
        thing(2, segmentation=[]),
        thing(3, segmentation=[[1, 1, 5, 5]]),
        thing(4, segmentation=[[1, 1, 5, 5], *SQUARE]),
        thing(5, segmentation=[[900.0, 2.0, 910.0, 2.0, 910.0, 8.0]]),
    ]
    data = CocoInstances(root=plant(tmp_path, [*bad, thing(6), thing(6)]))
    split = data.open("train")
    assert split[0]["masks"].flatten(1).sum(1).tolist() == [36, 36]
    announce(split, 2)
    told = "train: 5 of 7 objects are left out (2 mask-missing, 1 object-twice, 1 polygon-points, 1 mask-empty)"
    assert told in capsys.readouterr().out
    found = {(f.kind, f.what.partition(":")[0]) for f in check(data).findings if f.kind.startswith(("mask", "poly", "object"))}
    kinds = {1: "mask-missing", 2: "mask-missing", 3: "polygon-points", 5: "mask-empty", 6: "object-twice"}
    assert found == {(kind, f"image 1, annotation {n}") for n, kind in kinds.items()}


def test_broken_masks_are_listed_one_by_one(tmp_path):
    pytest.importorskip("faster_coco_eval", reason="needs the extra coco")
    broken = [[[1, 2, 3, 4, 5, math.nan]], [[1, 2, 3, None, 5, 6]], {"counts": "P" * 99}, {"counts": 7}, {"size": 5, "counts": [9]}]
    root = plant(tmp_path, [thing(n, segmentation=mask) for n, mask in enumerate(broken, 1)] + [thing(9, category_id=99)])
    found = {(f.kind, f.what.split(":")[0]) for f in check(CocoInstances(root=root)).findings}
    assert found >= {("mask-broken", f"image 1, annotation {n}") for n in range(1, 6)} | {("segment-category", "image 1, annotation 9")}


def test_detections_alone_are_refused_where_masks_are_wanted(tmp_path):
    split = CocoInstances(root=plant(tmp_path, [thing(1, segmentation="gone"), thing(2, segmentation=[])])).open("train")
    with pytest.raises(DataError, match=r"none of the 2 objects has a mask; .*fix: data\.annotation=boxes"):
        announce(split, 2)


@pytest.mark.parametrize("annotation", ["boxes", "instances"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"category_id": 5}, "image 1, annotation 4: category 5, which isn't among the categories"),
        ({"category_id": "cat"}, "image 1, annotation 4: its category_id is no whole number"),
        ({"iscrowd": 2}, "image 1, annotation 4: iscrowd is neither 0 nor 1"),
    ],
)
def test_what_is_refused_is_refused_before_training(tmp_path, annotation, change, told):
    pytest.importorskip("faster_coco_eval", reason="needs the extra coco")
    split = CocoInstances(root=plant(tmp_path, [thing(3), thing(4, **change)]), annotation=annotation).open("train")
    with pytest.raises(DataError, match=told):
        announce(split, 2)
    with pytest.raises(DataError, match=told):
        split[0]


def test_ids_that_begin_anew_in_each_image_are_no_repetition(tmp_path):
    split = CocoInstances(root=plant(tmp_path, [thing(1), thing(1, image=2), thing("gone"), thing("gone")]), annotation="boxes").open(
        "train"
    )
    assert [len(split[i]["boxes"]) for i in range(2)] == [3, 1]
    assert split.tally().faults == []
    assert [(f.kind, f.what) for f in split.file_faults()] == [
        ("object-id", "1 ids of annotations occur in several images, e.g. 1 in 1 and 2")
    ]


def test_images_listed_twice_count_once(tmp_path):
    image = {"id": 1, "file_name": "1.png", "height": HEIGHT, "width": WIDTH}
    split = CocoInstances(root=plant(tmp_path, [thing(1)], images=[image, image]), annotation="boxes").open("train")
    assert len(split) == 1
    assert [f.kind for f in split.file_faults()] == ["json-image-twice"]


def test_annotations_without_an_image_are_told(tmp_path):
    data = CocoInstances(root=plant(tmp_path, [thing(1), thing(2, image=9)]), annotation="boxes")
    assert "annotation 2 is of image 9, which isn't among the images" in {f.what for f in check(data).findings}
    assert not [f for f in check(data).findings if f.kind == "no-isthing"], "all categories of objects are things"


def test_there_are_no_segments(tmp_path):
    with pytest.raises(ConfigError, match=r"a JSON of objects has no segments; data\.annotation=panoptic; fix: .*data=coco_panoptic"):
        CocoInstances(root=str(tmp_path), annotation="panoptic")


def test_a_large_file_is_counted_without_a_loop_over_its_objects(tmp_path, monkeypatch):
    split = CocoInstances(root=plant(tmp_path, [thing(n) for n in range(1, 400)]), annotation="boxes").open("train")
    monkeypatch.setattr(type(split), "faults", lambda *_: pytest.fail("asked for an image without a fault"))
    assert split.tally().objects == 399


@pytest.mark.skipif(not (SHARED / "coco").is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared)")
@pytest.mark.parametrize(
    ("data", "objects"),
    [
        (Coco(root=str(SHARED / "coco"), annotation="boxes"), {"train": 746, "val": 397}),
        (Coco(root=str(SHARED / "coco_polygons"), annotation="boxes"), {"train": 156, "val": 88}),
        (Nuclei(root=str(SHARED / "nuclei"), annotation="boxes"), {"train": 3156, "val": 869}),
        (CocoInstances(root=str(SHARED / "coco_polygons"), annotation="boxes"), {"train": 156, "val": 88}),
    ],
)
def test_real_files(data, objects):
    for split, count in objects.items():
        opened = data.open(split)
        tally = opened.tally()
        assert (tally.objects, tally.faults, list(opened.file_faults())) == (count, [], [])
        assert sum(int(np.diff(opened.found.start)[i]) for i in range(len(opened))) == count
        sample = opened[0]
        assert sample["boxes"].dtype == torch.float32
        assert len(sample["boxes"]) == len(sample["labels"]) == len(sample["crowd"])


@pytest.mark.skipif(not (SHARED / "coco").is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared)")
def test_boxes_and_masks_of_the_same_file_agree():
    pytest.importorskip("faster_coco_eval", reason="needs the extra coco")
    boxes, masks = (Nuclei(root=str(SHARED / "nuclei"), annotation=kind) for kind in ("boxes", "instances"))
    for index in (0, 7):
        mine, theirs = boxes.open("val")[index], derive(masks.open("val")[index], {"boxes"}, masks.spec)
        assert torch.equal(mine["boxes"], theirs.boxes)
