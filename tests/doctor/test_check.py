"""The whole check: silent on sets that are in order, and its record."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segexp.data.camvid import CamVid
from segexp.data.cityscapes import Cityscapes
from segexp.data.isbi2012 import Isbi2012
from segexp.data.shapes import Shapes
from segexp.data.voc import Voc
from segexp.doctor.across import apart
from segexp.doctor.check import check
from segexp.errors import ConfigError
from tests.doctor.tree import Mini, picture, plant

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data"
REAL = {
    "camvid": lambda: CamVid(root=str(SHARED / "camvid")),
    "voc": lambda: Voc(root=str(SHARED / "VOCdevkit"), year=2007),
    "isbi2012": lambda: Isbi2012(root=str(SHARED / "isbi2012")),
    "cityscapes": lambda: Cityscapes(root=str(SHARED / "cityscapes_layout")),
    "cityscapes panoptic": lambda: Cityscapes(root=str(SHARED / "cityscapes_layout"), annotation="panoptic"),
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared)")
@pytest.mark.parametrize("name", REAL)
def test_silent_on_real_sets(name):
    found = check(REAL[name](), limit=40 if name == "camvid" else None)
    assert found.findings == []
    assert all(scan.rows["read"].all() for scan in found.scans)


def test_silent_where_all_samples_lie_in_one_file(tmp_path):
    rng = np.random.default_rng(0)
    for name, values in (("train-volume.tif", 256), ("train-labels.tif", 2)):
        noise = rng.integers(0, values, (30, 6, 6), dtype=np.uint8) * (255 // (values - 1))
        first, *others = [Image.fromarray(page.repeat(8, 0).repeat(8, 1)) for page in noise]
        first.save(tmp_path / name, save_all=True, append_images=others)
    cache = tmp_path / "cache"
    found = [check(Isbi2012(root=str(tmp_path)), cache=cache) for _ in range(2)]
    assert [f.findings for f in found] == [[], []]
    assert [scan.reread for f in found for scan in f.scans] == [16, 6, 8, 0, 0, 0]
    assert np.array_equal(found[0].scans[1].rows, found[1].scans[1].rows)


def test_silent_on_the_synthetic_set():
    assert check(Shapes(train=40, val=10, test=10)).findings == []


def test_the_record(tmp_path):
    data = Mini(plant(tmp_path / "set"))
    (data.root / "images/val/v1.png").unlink()
    found = check(data)
    assert found.failed
    record = found.as_dict()
    assert record["summary"] == "1 error"
    assert record["splits"] == {"train": {"samples": 6, "read_anew": 6}, "val": {"samples": 6, "read_anew": 6}}
    assert record["findings"] == [
        {
            "severity": "error",
            "kind": "missing-image",
            "id": "val/v1",
            "what": "the file is missing",
            "paths": [str(data.root / "images/val/v1.png")],
            "fix": "restore the file, or remove the sample from the list",
        }
    ]


def cityscapes(root):
    """A tree with a test split, which has no labels."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2), ("test", 3)):
        for i in range(count):
            stem = f"{split}/ulm/ulm_{i}"
            for path in (f"leftImg8bit/{stem}_leftImg8bit.png", f"gtFine/{stem}_gtFine_labelIds.png"):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
            picture(rng).save(root / f"leftImg8bit/{stem}_leftImg8bit.png")
            if split != "test":
                blocks = rng.permutation(np.repeat([7, 8, 11], 10)).astype(np.uint8).reshape(5, 6).repeat(8, 0).repeat(8, 1)
                Image.fromarray(blocks).save(root / f"gtFine/{stem}_gtFine_labelIds.png")
    return Cityscapes(root=str(root))


def test_a_test_split_without_labels_is_looked_at(tmp_path):
    data = cityscapes(tmp_path)
    found = check(data)
    assert [(scan.name, len(scan.rows)) for scan in found.scans] == [("train", 3), ("val", 2), ("test", 3)]
    assert found.findings == []
    folder = tmp_path / "leftImg8bit"
    (folder / "test/ulm/ulm_1_leftImg8bit.png").write_bytes(b"")
    (folder / "test/ulm/ulm_2_leftImg8bit.png").write_bytes((folder / "val/ulm/ulm_0_leftImg8bit.png").read_bytes())
    assert {(f.kind, f.id) for f in check(data).findings} == {("empty-file", "test/ulm_1"), ("leakage", "test/ulm_2")}
    assert check(data, ["train", "val"]).findings == []


def test_one_split_alone(tmp_path):
    data = Mini(plant(tmp_path / "set"))
    (data.root / "images/val/v1.png").unlink()
    found = check(data, ["train"])
    assert [scan.name for scan in found.scans] == ["train"]
    assert found.findings == []
    assert not found.failed


def test_a_set_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="CamVid is not there"):
        check(CamVid(root=str(tmp_path)))


@pytest.mark.parametrize(
    ("first", "second", "compared"),
    [
        ("train", "val", True),
        ("train_aug", "val", True),
        ("trainval", "val", False),
        ("trainval", "test", True),
        ("a", "b", True),
        ("a", "train", True),
    ],
)
def test_which_splits_should_have_nothing_in_common(first, second, compared):
    assert apart(first, second) is apart(second, first) is compared
