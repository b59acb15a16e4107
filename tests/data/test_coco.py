"""COCO: a static table of classes, panoptic and instance annotations, generated and real."""

import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from segexp.data.coco import Coco
from segexp.data.rle import masks_of
from segexp.errors import ConfigError, DataError
from segexp.targets import derive
from tests.data import panoptic_tree as tree

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data"
real = pytest.mark.skipif(not (SHARED / "coco").is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared)")

SQUARE = [[4.0, 2.0, 10.0, 2.0, 10.0, 8.0, 4.0, 8.0]]
TWO_PARTS = [*SQUARE, [20.0, 10.0, 26.0, 10.0, 26.0, 16.0, 20.0, 16.0], [1.0, 1.0, 2.0, 2.0]]


def runs(mask):
    """Uncompressed run lengths by columns, beginning with those outside."""
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate([[0], edges])).tolist()}


def objects(root, annotations):
    images = [{"id": n, "file_name": f"{n:012d}.png", "height": tree.SIZE[0], "width": tree.SIZE[1]} for n in (9, 25)]
    for image in images:
        tree.noise(root / "train2017" / image["file_name"], image["id"])
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "annotations/instances_train2017.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return Coco(root=str(root), annotation="instances").open("train")


def test_classes_need_no_disk():
    panoptic, instances = Coco(root="nowhere").spec, Coco(root="nowhere", annotation="instances").spec
    assert (panoptic.num_classes, len(panoptic.thing_ids), instances.num_classes) == (133, 80, 80)
    assert panoptic.names[:2] == ("person", "bicycle")
    assert panoptic.names[-1] == "rug-merged"
    assert panoptic.values is not None
    assert (panoptic.values[11], panoptic.values[-1]) == (13, 200)  # 12 is a gap
    assert len({info.color for info in panoptic.classes}) == 133
    assert (panoptic.provides, instances.provides) == ({"segments"}, {"masks"})


def test_polygons_and_run_lengths(tmp_path):
    pytest.importorskip("faster_coco_eval", reason="needs the extra coco")
    crowd = np.zeros(tree.SIZE, bool)
    crowd[5:9, 20:30] = True
    split = objects(
        tmp_path,
        [
            {"id": 1, "image_id": 9, "category_id": 3, "iscrowd": 0, "segmentation": TWO_PARTS, "bbox": [4, 2, 22, 14], "area": 72},
            {"id": 2, "image_id": 9, "category_id": 90, "iscrowd": 1, "segmentation": runs(crowd)},
            {"id": 3, "image_id": 9, "category_id": 1, "iscrowd": 0, "segmentation": [[50.0, 50.0, 60.0, 50.0, 60.0, 60.0]]},
        ],
    )
    sample = split[0]
    assert sample["masks"].dtype == torch.bool
    assert sample["labels"].tolist() == [2, 79]  # the third lies outside
    assert sample["crowd"].tolist() == [False, True]
    expected = np.zeros(tree.SIZE, bool)
    expected[2:8, 4:10] = expected[10:16, 20:26] = True
    assert np.array_equal(sample["masks"][0], expected)
    assert np.array_equal(sample["masks"][1], crowd)
    targets = derive(sample, {"boxes"}, Coco(root="").spec)
    assert targets.boxes.tolist() == [[4, 2, 26, 16], [20, 5, 30, 9]]


def test_an_image_without_objects(tmp_path):
    pytest.importorskip("faster_coco_eval", reason="needs the extra coco")
    sample = objects(tmp_path, [])[1]
    assert tuple(sample["masks"].shape) == (0, *tree.SIZE)
    assert len(sample["labels"]) == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"category_id": 12}, "image 9, annotation 1: category 12, which isn't among the categories"),
        ({"segmentation": 7}, "image 9, annotation 1: no segmentation"),
        ({"segmentation": {"size": [3, 4], "counts": [12]}}, r"image 9, annotation 1: run lengths of size \[3, 4\]"),
        ({"segmentation": {"size": list(tree.SIZE), "counts": [5, 6]}}, "image 9, annotation 1: run lengths of 11 pixels"),
        ({"segmentation": {"size": list(tree.SIZE), "counts": "zz"}}, "image 9, annotation 1: Invalid RLE"),
        ({"segmentation": [[1, 2, 3, 4, 5, math.nan]]}, "image 9, annotation 1: nan in a polygon is no number"),
        ({"segmentation": [[1, 2, 3, None, 5, 6]]}, "image 9, annotation 1: None in a polygon is no number"),
        ({"segmentation": [[0, 0, 1e8, 0, 0, 1e8]]}, r"annotation 1: 100000000\.0 in a polygon lies beyond any picture"),
        ({"segmentation": {"counts": "P" * 99}}, "image 9, annotation 1: the mask can't be decoded: RLE string is malformed"),
        ({"segmentation": {"counts": None}}, "image 9, annotation 1: run lengths are a list of whole numbers, or a text, not None"),
        ({"segmentation": {"counts": ["a"]}}, "image 9, annotation 1: run lengths are whole numbers from 0, not 'a'"),
        ({"segmentation": {"size": 5, "counts": [9]}}, "image 9, annotation 1: run lengths of size 5"),
        ({"iscrowd": 5}, "image 9, annotation 1: iscrowd is neither 0 nor 1"),
    ],
)
def test_broken_objects_are_named(tmp_path, change, told):
    pytest.importorskip("faster_coco_eval", reason="needs the extra coco")
    split = objects(tmp_path, [{"id": 1, "image_id": 9, "category_id": 3, "iscrowd": 0, "segmentation": SQUARE} | change])
    with pytest.raises(DataError, match=told):
        split[0]


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval.core", None)
    with pytest.raises(ConfigError, match="needs faster-coco-eval") as error:
        masks_of(SQUARE, tree.SIZE)
    assert "segexp[coco]" in error.value.fix


def test_a_test_split_without_labels(tmp_path):
    (tmp_path / "annotations").mkdir()
    listed = {"images": [{"id": 1, "file_name": "000000000001.png"}], "categories": []}
    (tmp_path / "annotations/image_info_test-dev2017.json").write_text(json.dumps(listed))
    tree.noise(tmp_path / "test2017/000000000001.png", 1)
    data = Coco(root=str(tmp_path))
    assert (data.splits, data.unlabelled) == ((), ("test",))
    assert set(data.open("test")[0]) == {"image", "meta"}


def test_where_to_get_it(tmp_path):
    with pytest.raises(ConfigError, match="no annotations are there") as error:
        Coco(root=str(tmp_path)).open("train")
    assert "cocodataset.org" in error.value.fix


@real
def test_real_segments_and_objects_agree():
    pytest.importorskip("faster_coco_eval", reason="needs the extra coco")
    panoptic, instances = (Coco(root=str(SHARED / "coco"), annotation=kind) for kind in ("panoptic", "instances"))
    first, second = panoptic.open("val"), instances.open("val")
    assert len(first) == len(second) == 60
    for index in range(0, 60, 12):  # the objects were made of the segments
        mine, theirs = derive(first[index], {"masks"}, panoptic.spec), second[index]
        order = [int(m.sum()) * 1000 + int(k) for m, k in zip(mine.masks, mine.labels, strict=True)]
        other = [int(m.sum()) * 1000 + int(k) for m, k in zip(theirs["masks"], theirs["labels"], strict=True)]
        assert sorted(order) == sorted(other)
        assert first.id(index) == second.id(index)


@real
def test_the_table_is_that_of_the_files():
    found = json.loads((SHARED / "coco/annotations/panoptic_val2017.json").read_text())["categories"]
    spec = Coco(root="").spec
    assert [(c["id"], c["name"], bool(c["isthing"])) for c in found] == [
        (value, info.name, info.is_thing) for value, info in zip(spec.values or (), spec.classes, strict=True)
    ]


@real
def test_real_polygons():
    pytest.importorskip("faster_coco_eval", reason="needs the extra coco")
    split = Coco(root=str(SHARED / "coco_polygons"), annotation="instances").open("train")
    counts = {split.image_id(i): len(split[i]["labels"]) for i in range(len(split))}
    assert counts["226111"] == counts["58636"] == 0
    assert sum(counts.values()) == 156
