"""CamVid on a generated mini tree, and on the real pictures where they are."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segexp.data.camvid import CamVid
from segexp.errors import ConfigError, DataError

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "camvid"


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for split, absolute in (("train", False), ("val", True)):
        (tmp_path / split).mkdir()
        (tmp_path / f"{split}annot").mkdir()
        lines = []
        for i in range(3):
            Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(tmp_path / split / f"p{i}.png")
            Image.fromarray(rng.integers(0, 12, (12, 16), dtype=np.uint8)).save(tmp_path / f"{split}annot" / f"p{i}.png")
            prefix = "/SegNet/CamVid/" if absolute else ""
            lines.append(f"{prefix}{split}/p{i}.png {prefix}{split}annot/p{i}.png")
        (tmp_path / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize("split", ["train", "val"])
def test_labels_are_the_files_with_void_as_255(root, split):
    data = CamVid(root=str(root))
    opened = data.open(split)
    assert (data.splits, len(opened), opened.id(1)) == (("train", "val"), 3, f"{split}/p1")
    raw = np.asarray(Image.open(root / f"{split}annot" / "p1.png"))
    sample = opened[1]
    assert np.array_equal(sample["semantic"].numpy(), np.where(raw == 11, 255, raw))
    assert np.array_equal(sample["image"].permute(1, 2, 0).numpy(), np.asarray(Image.open(root / split / "p1.png")))
    assert sample["meta"]["size"] == (12, 16)


def test_fingerprint_sees_a_changed_file(root):
    before = CamVid(root=str(root)).fingerprint()
    assert before == CamVid(root=str(root)).fingerprint()
    (root / "train" / "p0.png").write_bytes(b"")
    assert CamVid(root=str(root)).fingerprint() != before


def test_a_set_that_is_not_there_says_what_to_fetch(tmp_path):
    with pytest.raises(ConfigError, match=r"CamVid is not there; .*nowhere \(data.root\); fix: put train.txt.*paths.data=<folder>"):
        CamVid(root=str(tmp_path / "nowhere")).open("train")


def test_unknown_split(root):
    with pytest.raises(ConfigError, match=r"no split 'test'.*fix: data.split=train\|val"):
        CamVid(root=str(root)).open("test")


def test_sizes_that_differ_and_broken_lines_are_named(root):
    Image.new("L", (5, 5)).save(root / "trainannot" / "p0.png")
    with pytest.raises(DataError, match=r"the image is \(12, 16\), its labels are \(5, 5\); .*p0.png and .*trainannot"):
        CamVid(root=str(root)).open("train")[0]
    (root / "train.txt").write_text("only_one\n")
    with pytest.raises(DataError, match=r"'only_one' is not 'image labels'; train\.txt, line 1"):
        CamVid(root=str(root)).open("train")[0]


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared): CamVid")
def test_the_real_set():
    data = CamVid(root=str(SHARED))
    assert [len(data.open(s)) for s in data.splits] == [367, 101]
    sample = data.open("val")[0]
    assert sample["image"].shape == (3, 360, 480)
    assert set(torch.unique(sample["semantic"]).tolist()) <= {*range(11), 255}
