"""Cityscapes on a generated tree, and on real pictures in its layout where they are."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segexp.data.cityscapes import CLASSES, LABEL_IDS, Cityscapes
from segexp.errors import ConfigError, DataError
from segexp.targets import derive
from segexp.types import DataSpec

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "cityscapes_layout"


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def put(root, split, city, frame, instances):
    """One picture with its label files, from instance values."""
    stem = f"{city}_000000_{frame:06d}"
    rng = np.random.default_rng(frame)
    write(root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", rng.integers(0, 256, (*instances.shape, 3), dtype=np.uint8))
    ids = np.where(instances >= 1000, instances // 1000, instances).astype(np.uint8)
    write(root / f"gtFine/{split}/{city}/{stem}_gtFine_labelIds.png", ids)
    write(root / f"gtFine/{split}/{city}/{stem}_gtFine_instanceIds.png", instances.astype(np.uint16))
    train = np.full(256, 255, np.uint8)
    train[list(LABEL_IDS)] = range(19)
    write(root / f"gtFine/{split}/{city}/{stem}_gtFine_labelTrainIds.png", train[ids])
    return stem


@pytest.fixture
def root(tmp_path):
    scene = np.full((8, 12), 7)  # road
    scene[0] = 4  # static: void
    scene[2:4, 2:5] = 26000  # two cars and a group of cars
    scene[2:4, 7:9] = 26003
    scene[5, :3] = 26
    scene[6, 4] = 11  # building
    for split, city, frames in (("train", "aachen", (1, 2)), ("train", "bonn", (3,)), ("val", "ulm", (4,))):
        for frame in frames:
            put(tmp_path, split, city, frame, scene)
    write(tmp_path / "leftImg8bit/test/berlin/berlin_000000_000009_leftImg8bit.png", np.zeros((8, 12, 3), np.uint8))
    return tmp_path


def test_label_ids_become_train_ids(root):
    opened = Cityscapes(root=str(root)).open("train")
    assert [opened.id(i) for i in range(len(opened))] == [
        "train/aachen_000000_000001",
        "train/aachen_000000_000002",
        "train/bonn_000000_000003",
    ]
    found = opened[0]["semantic"]
    assert found.dtype == torch.uint8
    assert found[0].unique().tolist() == [255]
    assert (int(found[1, 0]), int(found[2, 2]), int(found[5, 0]), int(found[6, 4])) == (0, 13, 13, 2)


def test_an_install_with_train_ids_alone(root):
    before = Cityscapes(root=str(root)).open("val")[0]["semantic"]
    for path in root.rglob("*_labelIds.png"):
        path.unlink()
    assert torch.equal(Cityscapes(root=str(root)).open("val")[0]["semantic"], before)


def test_instances_are_segments_and_groups_are_crowds(root):
    data = Cityscapes(root=str(root), annotation="panoptic")
    sample = data.open("val")[0]
    segments = sample["segments"]
    assert data.spec.provides == {"segments"}
    assert segments.dtype == torch.int32
    assert segments.unique().tolist() == [0, 1, 2, 3, 4, 5]
    assert sample["segment_labels"].tolist() == [0, 2, 13, 13, 13]  # values 7, 11, 26, 26000, 26003
    assert sample["segment_crowd"].tolist() == [False, False, True, False, False]
    assert (int(segments[2, 2]), int(segments[2, 7]), int(segments[5, 0])) == (4, 5, 3)


def test_segments_give_the_class_map(root):
    panoptic = Cityscapes(root=str(root), annotation="panoptic")
    derived = derive(panoptic.open("val")[0], {"semantic"}, panoptic.spec).semantic
    assert torch.equal(derived, Cityscapes(root=str(root)).open("val")[0]["semantic"].as_subclass(torch.Tensor))


def test_the_test_split_has_pictures_alone(root):
    data = Cityscapes(root=str(root))
    assert (data.splits, data.unlabelled) == (("train", "val"), ("test",))
    assert Cityscapes(root="nowhere").unlabelled == ()
    sample = data.open("test")[0]
    assert "semantic" not in sample
    assert sample["meta"]["id"] == "test/berlin_000000_000009"


def test_the_spec_knows_the_label_ids_and_survives_a_manifest(root):
    spec = Cityscapes(root=str(root)).spec
    assert spec.values == (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    assert [c.name for c in spec.classes if c.is_thing] == ["person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]
    assert DataSpec.from_dict(spec.to_dict()) == spec
    assert DataSpec.from_dict({k: v for k, v in spec.to_dict().items() if k != "values"}).values is None


def test_what_is_wrong_is_named(root, tmp_path):
    with pytest.raises(ConfigError, match=r"Cityscapes is not there; .*gtFine_trainvaltest.zip.*labelIds.png"):
        Cityscapes(root=str(tmp_path / "nowhere")).open("train")
    with pytest.raises(ConfigError, match=r"no split 'dev'.*fix: data.split=test\|train\|val"):
        Cityscapes(root=str(root)).open("dev")
    with pytest.raises(ConfigError, match=r"no such annotation; data.annotation=boxes; fix: data.annotation=semantic\|panoptic"):
        Cityscapes(root=str(root), annotation="boxes")
    labels = root / "gtFine/val/ulm/ulm_000000_000004_gtFine_labelIds.png"
    write(labels, np.full((8, 12), 77, np.uint8))
    with pytest.raises(DataError, match=r"no class has: 77 in 96 pixels; known are 0..33; .*000004_gtFine_labelIds.png"):
        Cityscapes(root=str(root)).open("val")[0]
    write(labels, np.zeros((4, 6), np.uint8))
    with pytest.raises(DataError, match=r"the image is \(8, 12\), its labels are \(4, 6\)"):
        Cityscapes(root=str(root)).open("val")[0]
    labels.unlink()
    labels.with_name(labels.name.replace("labelIds", "labelTrainIds")).unlink()
    with pytest.raises(DataError, match=r"the file is missing; .*000004_gtFine_labelIds.png"):
        Cityscapes(root=str(root)).open("val")[0]
    write(root / "gtFine/val/ulm/ulm_000000_000004_gtFine_instanceIds.png", np.full((8, 12), 60003, np.uint16))
    with pytest.raises(DataError, match=r"instance values \[60003\] of no label id; known are 0..33"):
        Cityscapes(root=str(root), annotation="panoptic").open("val")[0]


def test_pictures_without_their_city(tmp_path):
    write(tmp_path / "leftImg8bit/train/a_0_1_leftImg8bit.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ConfigError, match="one folder too high"):
        Cityscapes(root=str(tmp_path)).open("train")


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real pictures at {SHARED} (SEGEXP_SHARED)")
def test_real_pictures():
    plain, panoptic = Cityscapes(root=str(SHARED)), Cityscapes(root=str(SHARED), annotation="panoptic")
    for split, count in (("train", 12), ("val", 6)):
        maps, segments = plain.open(split), panoptic.open(split)
        assert len(maps) == len(segments) == count
        for i in range(count):
            semantic = maps[i]["semantic"].as_subclass(torch.Tensor)
            ready = maps.paths(i)[1].with_name(f"{maps.id(i).split('/')[1]}_gtFine_labelTrainIds.png")
            assert np.array_equal(semantic.numpy(), np.asarray(Image.open(ready)))
            assert torch.equal(derive(segments[i], {"semantic"}, panoptic.spec).semantic, semantic)
    assert len(CLASSES) == 19


def test_instances_are_the_things(root):
    data = Cityscapes(root=str(root), annotation="instances")
    assert data.spec.names == ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
    assert data.spec.values == (24, 25, 26, 27, 28, 31, 32, 33)
    assert data.spec.provides == {"masks"}
    sample = data.open("val")[0]
    assert sample["labels"].tolist() == [2, 2, 2]
    assert sample["crowd"].tolist() == [True, False, False]
    assert sample["masks"].flatten(1).sum(1).tolist() == [3, 6, 4]
    assert bool(sample["masks"][2, 2:4, 7:9].all())


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared)")
def test_real_instances_are_those_of_the_segments():
    panoptic, instances = (Cityscapes(root=str(SHARED), annotation=kind) for kind in ("panoptic", "instances"))
    first, second = derive(panoptic.open("val")[2], {"masks"}, panoptic.spec), instances.open("val")[2]
    assert torch.equal(first.masks, torch.as_tensor(second["masks"]))
    assert [panoptic.spec.names[i] for i in first.labels.tolist()] == [instances.spec.names[i] for i in second["labels"].tolist()]
