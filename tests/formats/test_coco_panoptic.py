"""Writers of the official panoptic forms, read back by our own data sets and by hand."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from segexp.data.cityscapes import Cityscapes
from segexp.data.coco import Coco
from segexp.data.coco_panoptic import CocoPanoptic
from segexp.errors import DataError
from segexp.formats.coco_panoptic import CityscapesPanopticWriter, PanopticWriter
from segexp.functional.panoptic_png import read_ids
from segexp.types import ClassInfo, DataSpec
from tests.data import panoptic_tree as tree

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data"
real = pytest.mark.skipif(not (SHARED / "coco").is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared)")
SPEC = DataSpec((ClassInfo("sky"), ClassInfo("car", True, (0, 0, 142)), ClassInfo("road")), frozenset({"segments"}), values=(3, 7, 200))
MAP = torch.tensor([[0, 1, 1, 2], [3, 3, 1, 2]], dtype=torch.int32)
LABELS = torch.tensor([0, 1, 2])


def infos(path):
    found = json.loads(path.read_text())
    return {entry["image_id"]: (entry["file_name"], entry["segments_info"]) for entry in found["annotations"]}


def test_what_is_written(tmp_path):
    with PanopticWriter(tmp_path / "out", SPEC) as writer:
        writer.add("val/000000000285", (2, 4), MAP, LABELS, torch.tensor([0.5, 0.25, 1.0]))
        writer.add("val/b", (2, 4), torch.zeros(2, 4, dtype=torch.int32), LABELS[:0], torch.zeros(0))
        assert not writer.json.exists()
    found = json.loads((tmp_path / "out/panoptic.json").read_text())
    assert found["images"] == [
        {"id": 285, "file_name": "000000000285.jpg", "height": 2, "width": 4},
        {"id": "b", "file_name": "b.jpg", "height": 2, "width": 4},
    ]
    assert found["categories"][1] == {"id": 7, "name": "car", "isthing": 1, "color": [0, 0, 142]}
    assert found["annotations"][0] == {
        "image_id": 285,
        "file_name": "000000000285.png",
        "segments_info": [
            {"id": 1, "category_id": 3, "area": 3, "bbox": [1, 0, 2, 2], "iscrowd": 0, "score": 0.5},
            {"id": 2, "category_id": 7, "area": 2, "bbox": [3, 0, 1, 2], "iscrowd": 0, "score": 0.25},
            {"id": 3, "category_id": 200, "area": 2, "bbox": [0, 1, 2, 1], "iscrowd": 0, "score": 1.0},
        ],
    }
    assert found["annotations"][1]["segments_info"] == []
    assert read_ids(tmp_path / "out/panoptic/000000000285.png").tolist() == MAP.tolist()
    assert {path.name for path in (tmp_path / "out/panoptic").iterdir()} == {"000000000285.png", "b.png"}


def test_more_than_255_segments(tmp_path):
    many = torch.arange(1, 401, dtype=torch.int16).reshape(20, 20)
    with PanopticWriter(tmp_path, SPEC) as writer:
        writer.add("a", (20, 20), many, torch.ones(400, dtype=torch.int64))
    assert np.array_equal(read_ids(tmp_path / "panoptic/a.png"), many)


def test_image_ids_of_the_data_set(tmp_path):
    with PanopticWriter(tmp_path, SPEC, image_ids={"f952": 12}) as writer:
        writer.add("val/f952", (2, 4), MAP, LABELS)
    assert list(infos(tmp_path / "panoptic.json")) == [12]


def test_no_json_after_an_exception(tmp_path):
    def fail():
        with PanopticWriter(tmp_path, SPEC) as writer:
            writer.add("a", (2, 4), MAP, LABELS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["panoptic"]


@pytest.mark.parametrize(
    ("size", "segments", "labels", "told"),
    [
        ((4, 2), MAP, LABELS, r"image 5: segments of size \(2, 4\), the picture is \(4, 2\)"),
        ((2, 4), MAP, LABELS[:2], "image 5, segment 3: it is in the map and has no class"),
        ((2, 4), MAP, torch.tensor([0, 1, 2, 2]), "image 5, segment 4: it has no pixel"),
        ((2, 4), MAP, torch.tensor([0, 3, 2]), "image 5, segment 2: there is no class 3"),
        ((2, 4), MAP - 1, LABELS, "image 5, segment -1"),
    ],
)
def test_what_a_reader_would_refuse_isnt_written(tmp_path, size, segments, labels, told):
    with PanopticWriter(tmp_path, SPEC) as writer, pytest.raises(DataError, match=told):
        writer.add("5", size, segments, labels)


def test_an_image_is_written_once(tmp_path):
    with PanopticWriter(tmp_path, SPEC) as writer:
        writer.add("7", (2, 4), MAP, LABELS)
        with pytest.raises(DataError, match="image 7 is written twice"):
            writer.add("val/007", (2, 4), MAP, LABELS)


def same_partition(first, second):
    pairs = np.unique(np.stack([np.asarray(first).ravel(), np.asarray(second).ravel()]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def round_trip(split, spec, folder, indices):
    """Write samples, read them back: the same partition, and (category, iscrowd, area, bbox)."""
    with PanopticWriter(folder / "annotations", spec, name="panoptic_val") as writer:
        for index in indices:
            sample = split[index]
            name, picture = split.id(index), split.paths(index)[0]
            (folder / "images").mkdir(exist_ok=True, parents=True)
            shutil.copy(picture, folder / "images" / picture.name)
            rest = sample["segments"], sample["segment_labels"]
            writer.add(name, sample["meta"]["size"], *rest, crowd=sample["segment_crowd"], file_name=picture.name)
    back = CocoPanoptic(root=str(folder))
    assert back.spec.to_dict() | {"provides": 0} == spec.to_dict() | {"provides": 0}
    opened = back.open("val")
    for place, index in enumerate(indices):
        first, second = split[index], opened[place]
        assert same_partition(first["segments"], second["segments"])
        assert torch.equal(first["segment_labels"], second["segment_labels"])
        assert torch.equal(first["segment_crowd"], second["segment_crowd"])
        assert not list(opened.faults(place))  # areas and boxes are those of the PNG
    return json.loads((folder / "annotations/panoptic_val.json").read_text())


def told(entry):
    return sorted((s["category_id"], s["iscrowd"], s["area"], s["bbox"]) for s in entry["segments_info"])


def test_writer_to_reader(tmp_path):
    data = CocoPanoptic(root=str(tree.plant(tmp_path / "set")))
    found = round_trip(data.open("train"), data.spec, tmp_path / "back", [0, 1, 2])
    before = tree.read(tmp_path / "set")
    assert [told(a) for a in found["annotations"]] == [told(a) for a in before["annotations"]]
    assert [a["image_id"] for a in found["annotations"]] == [1, 2, 3]


@real
def test_writer_to_reader_on_real_images(tmp_path):
    data = Coco(root=str(SHARED / "coco"))
    indices = [0, 7, 30]
    found = round_trip(data.open("val"), data.spec, tmp_path, indices)
    before = json.loads((SHARED / "coco/annotations/panoptic_val2017.json").read_text())["annotations"]
    assert [told(a) for a in found["annotations"]] == [told(before[i]) for i in indices]


@real
def test_cityscapes_own_conversion_is_reproduced(tmp_path):
    root = SHARED / "cityscapes_layout"
    data = Cityscapes(root=str(root), annotation="panoptic")
    split = data.open("val")
    with CityscapesPanopticWriter(tmp_path, data.spec, name="cityscapes_panoptic_val") as writer:
        for index in range(len(split)):
            sample = split[index]
            rest = sample["segments"], sample["segment_labels"]
            writer.add(split.id(index), sample["meta"]["size"], *rest, crowd=sample["segment_crowd"])
    mine, theirs = infos(tmp_path / "cityscapes_panoptic_val.json"), infos(root / "gtFine/cityscapes_panoptic_val.json")
    assert mine.keys() == theirs.keys()
    for number, (name, segments) in theirs.items():
        assert mine[number][0] == name
        assert told({"segments_info": mine[number][1]}) == told({"segments_info": segments})
        folders = tmp_path / "cityscapes_panoptic_val", root / "gtFine/cityscapes_panoptic_val"
        assert same_partition(*(read_ids(folder / name) for folder in folders))


def test_cityscapes_ids(tmp_path):
    spec = Cityscapes(root="").spec
    segments = torch.tensor([[1, 2, 3, 4, 5]], dtype=torch.int32)
    with CityscapesPanopticWriter(tmp_path, spec) as writer:
        crowd = torch.tensor([False, False, False, True, False])
        writer.add("val/ulm_000000_000019", (1, 5), segments, torch.tensor([0, 13, 13, 13, 11]), crowd=crowd)
    name, found = infos(tmp_path / "panoptic.json")["ulm_000000_000019"]
    assert name == "ulm_000000_000019_gtFine_panoptic.png"
    assert [(s["id"], s["category_id"], s["iscrowd"]) for s in found] == [
        (7, 7, 0),
        (26000, 26, 0),
        (26001, 26, 0),
        (26, 26, 1),
        (24000, 24, 0),
    ]
    assert read_ids(tmp_path / "panoptic" / name).tolist() == [[7, 26000, 26001, 26, 24000]]


def test_a_refusal_leaves_no_empty_folder(tmp_path):
    with pytest.raises(DataError), PanopticWriter(tmp_path / "new/annotations", SPEC) as writer:
        writer.add("5", (3, 3), MAP, LABELS)
    assert not list(tmp_path.iterdir())
    (tmp_path / "old").mkdir()
    with pytest.raises(DataError), PanopticWriter(tmp_path / "old", SPEC) as writer:
        writer.add("5", (3, 3), MAP, LABELS)
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]
