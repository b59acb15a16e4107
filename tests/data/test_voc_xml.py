"""Boxes in XML: any set of VOC's layout, generated and real."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

from segexp.data.voc_xml import VocXml
from segexp.datamodule import announce
from segexp.doctor.check import check
from segexp.errors import ConfigError, DataError
from segexp.targets import derive

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "bccd"


def thing(name, *box, difficult=0):
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=False))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"


def plant(root, annotations, split="train"):
    """Pictures of 20x10, each with its XML; None leaves the XML out."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number, (name, objects) in enumerate(annotations.items()):
        Image.new("RGB", (20, 10), (number, 2, 3)).save(root / f"JPEGImages/{name}.png")
        if objects is not None:
            size = "<size><width>20</width><height>10</height></size>"
            (root / f"Annotations/{name}.xml").write_text(f"<annotation>{size}{''.join(objects)}</annotation>")
    (root / f"ImageSets/Main/{split}.txt").write_text("".join(f"{name} 1\n" for name in annotations))
    return str(root)


def test_boxes_are_one_based_and_inclusive_unless_said_otherwise(tmp_path):
    root = plant(tmp_path, {"a": [thing("cat", 1, 1, 20, 10), thing("dog", 3, 4, 6, 8)], "b": []})
    data = VocXml(root=root)
    assert (data.spec.names, data.spec.thing_ids, data.spec.provides) == (("cat", "dog"), (0, 1), {"boxes"})
    sample = data.open("train")[0]
    assert sample["boxes"].tolist() == [[0, 0, 20, 10], [2, 3, 6, 8]]
    assert (sample["labels"].tolist(), sample["crowd"].tolist()) == ([0, 1], [False, False])
    assert (sample["meta"]["id"], sample["boxes"].dtype) == ("train/a", torch.float32)
    assert VocXml(root=root, one_based=False).open("train")[0]["boxes"].tolist() == [[1, 1, 20, 10], [3, 4, 6, 8]]
    empty = derive(data.open("train")[1], {"boxes"}, data.spec)
    assert (tuple(empty.boxes.shape), empty.labels.dtype) == ((0, 4), torch.int64)


@pytest.mark.parametrize(("difficult", "labels", "crowd"), [("crowd", [0, 0], [0, 1]), ("object", [0, 0], [0, 0]), ("drop", [0], [0])])
def test_difficult_objects(tmp_path, difficult, labels, crowd):
    root = plant(tmp_path, {"a": [thing("cat", 1, 1, 5, 5), thing("cat", 6, 1, 9, 5, difficult=1)]})
    sample = VocXml(root=root, difficult=difficult).open("train")[0]
    assert (sample["labels"].tolist(), sample["crowd"].int().tolist()) == (labels, crowd)


def test_classes_are_those_that_are_given(tmp_path):
    root = plant(tmp_path, {"a": [thing("dog", 1, 1, 5, 5)]})
    assert VocXml(root=root, classes=["dog", "cat"]).open("train")[0]["labels"].tolist() == [0]
    with pytest.raises(DataError, match=r"image train/a, object 1: class 'dog', which isn't among the 1 classes; .*a\.xml; fix:"):
        VocXml(root=root, classes=["cat"]).open("train")[0]
    for classes in (["cat", "cat"], "cat", []):
        with pytest.raises(ConfigError, match="a list of different names is wanted"):
            VocXml(root=root, classes=classes)


def test_useless_boxes_are_left_out_and_counted_before_training(tmp_path, capsys):
    odd = [thing("cat", 5, 5, 5, 5), thing("cat", 9, 1, 2, 5), thing("cat", 30, 1, 40, 5), thing("cat"), thing("cat", 1, 1, "x", 4)]
    root = plant(tmp_path, {"a": [*odd, thing("cat", 15, 5, 40, 10)], "b": []})
    data = VocXml(root=root)
    split = data.open("train")
    assert split[0]["boxes"].tolist() == [[14, 4, 20, 10]]
    announce(split, 2)
    said = capsys.readouterr().out
    assert said.startswith("train: 5 of 6 objects are left out (2 box-missing, 1 box-empty, 1 box-inverted, 1 box-outside), e.g. image")
    findings = {(f.kind, f.what.split(":")[0]) for f in check(data).findings if f.kind.startswith("box")}
    kinds = ("box-empty", "box-inverted", "box-outside", "box-missing", "box-missing", "box-clipped")
    assert findings == {(kind, f"image train/a, object {number}") for number, kind in enumerate(kinds, 1)}


def test_what_is_refused_is_refused_before_training(tmp_path):
    split = VocXml(root=plant(tmp_path, {"a": [thing("cow", 1, 1, 5, 5)]}), classes=["cat"]).open("train")
    with pytest.raises(DataError, match=r"image train/a, object 1: class 'cow'"):
        announce(split, 1)
    announce(split, 0)


def test_zero_based_boxes_in_a_one_based_set_are_noticed(tmp_path):
    root = plant(tmp_path, {"a": [thing("cat", 0, 3, 5, 5), thing("cat", 1, 3, 5, 5)]})
    found = list(VocXml(root=root).open("train").file_faults())
    assert [(f.kind, f.what) for f in found] == [("box-base", "train: 1 of 2 boxes begin at 0, where the first pixel should be 1")]
    assert VocXml(root=root).open("train")[0]["boxes"].tolist() == [[0, 2, 5, 5], [0, 2, 5, 5]]
    assert not list(VocXml(root=root, one_based=False).open("train").file_faults())


def test_missing_and_broken_files(tmp_path):
    root = plant(tmp_path, {"a": None, "b": []})
    (tmp_path / "Annotations/b.xml").write_text("<annotation><object>")
    split = VocXml(root=root, classes=["cat"]).open("train")
    with pytest.raises(DataError, match=r"the annotation is missing; .*a\.xml; fix: restore the file, or take"):
        split[0]
    with pytest.raises(DataError, match=r"no valid XML: .*b\.xml"):
        split[1]
    with pytest.raises(ConfigError, match=r"no split 'test'.*fix: data\.split=train"):
        VocXml(root=root).open("test")
    with pytest.raises(ConfigError, match=r"aren't there|are not there; .*\(data\.root\); fix: put ImageSets/Main/train\.txt"):
        _ = VocXml(root=str(tmp_path / "nowhere")).spec
    with pytest.raises(ConfigError, match="no such treatment"):
        VocXml(root=root, difficult="maybe")


def test_splits_as_folders(tmp_path):
    root = plant(tmp_path / "val", {"a": [thing("cat", 1, 1, 5, 5)]})
    with pytest.raises(ConfigError, match="without lists a split is a folder"):
        VocXml(root=root, lists=None)
    data = VocXml(root=str(tmp_path), images="{split}/JPEGImages", annotations="{split}/Annotations", lists=None)
    assert (data.splits, data.open("val").id(0), data.open("val")[0]["boxes"].tolist()) == (("val",), "val/a", [[0, 0, 5, 5]])


def test_the_fingerprint_counts_the_annotations_and_splits_go_to_workers(tmp_path):
    root = plant(tmp_path, {"a": [thing("cat", 1, 1, 5, 5)]})
    before = VocXml(root=root).fingerprint()
    assert VocXml(root=root).fingerprint() == before
    plant(tmp_path, {"a": [thing("cat", 1, 1, 5, 5), thing("cat", 1, 1, 9, 9)]})
    assert VocXml(root=root).fingerprint() != before
    assert len(pickle.loads(pickle.dumps(VocXml(root=root).open("train")))[0]["boxes"]) == 2


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared): bccd")
def test_the_real_set():
    data = VocXml(root=str(SHARED), classes=["RBC", "WBC", "Platelets"])
    tallies = {split: data.open(split).tally() for split in data.splits}
    assert {split: (t.images, t.objects) for split, t in tallies.items()} == {"train": (205, 2805), "val": (87, 1138)}
    faults = [(fault.kind, fault.what.partition(":")[0]) for tally in tallies.values() for fault in tally.faults]
    assert faults == [("box-empty", "image train/BloodImage_00343, object 4"), ("box-empty", "image val/BloodImage_00338, object 13")]
    for split in data.splits:
        opened = data.open(split)
        assert len(opened[0]["boxes"]) == len(opened[0]["labels"]) > 0
