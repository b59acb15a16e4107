"""Nuclei: panoptic and instance annotations of one class of things."""

import json
import os
from pathlib import Path

import pytest

from segexp.data.nuclei import CLASSES, NUMBERS, Nuclei
from segexp.errors import ConfigError
from segexp.targets import derive

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "nuclei"
real = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared)")


def test_classes_need_no_disk():
    assert Nuclei(root="").spec.names == ("nucleus", "background")
    assert Nuclei(root="").spec.thing_ids == (0,)
    assert Nuclei(root="", annotation="instances").spec.names == ("nucleus",)
    with pytest.raises(ConfigError, match="no annotations are there"):
        Nuclei(root="nowhere").open("train")


@real
def test_the_real_set():
    data = Nuclei(root=str(SHARED))
    split = data.open("val")
    assert data.splits == ("train", "val")
    sample = split[0]
    assert sample["image"].shape[0] == 3  # grey pictures, too
    assert (sample["segments"] > 0).all()  # no void
    things = sum(int((split[i]["segment_labels"] == 0).sum()) for i in range(len(split)))
    assert things == 869
    found = json.loads((SHARED / "annotations/panoptic_val.json").read_text())["categories"]
    assert [(c["id"], c["name"], bool(c["isthing"])) for c in found] == [
        (number, info.name, info.is_thing) for number, info in zip(NUMBERS, CLASSES, strict=True)
    ]


@real
def test_instances_are_the_same_nuclei():
    pytest.importorskip("faster_coco_eval", reason="needs the extra coco")
    panoptic, instances = Nuclei(root=str(SHARED)), Nuclei(root=str(SHARED), annotation="instances")
    first, second = panoptic.open("val"), instances.open("val")
    masks = derive(first[3], {"masks"}, panoptic.spec).masks
    assert sorted(masks.flatten(1).sum(1).tolist()) == sorted(second[3]["masks"].flatten(1).sum(1).tolist())
