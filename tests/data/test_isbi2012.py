"""ISBI 2012 in folders and in the published stacks, generated and real."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segexp.data.isbi2012 import Isbi2012
from segexp.errors import ConfigError, DataError

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "isbi2012"


def stack(path, arrays):
    first, *rest = [Image.fromarray(a.astype(np.uint8)) for a in arrays]
    first.save(path, save_all=True, append_images=rest)


@pytest.fixture
def volumes():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (30, 6, 8)), rng.integers(0, 2, (30, 6, 8))  # 1 = membrane


def test_stacks(tmp_path, volumes):
    images, membrane = volumes
    stack(tmp_path / "train-volume.tif", images)
    stack(tmp_path / "train-labels.tif", (1 - membrane) * 255)
    data = Isbi2012(root=str(tmp_path))
    assert [(s, len(data.open(s))) for s in data.splits] == [("train", 16), ("val", 6), ("test", 8)]
    sample = data.open("val")[2]
    assert sample["image"].tolist() == [images[18].tolist()]
    assert sample["semantic"].tolist() == membrane[18].tolist()
    assert sample["meta"] == {"id": "val/18", "size": (6, 8), "path": str(tmp_path / "train-labels.tif")}
    assert (data.spec.names, data.spec.in_channels) == (("interior", "membrane"), 1)


def test_folders(tmp_path, volumes):
    images, membrane = volumes
    for split, indices in (("train", (0, 1)), ("val", (2,))):
        for kind, arrays in (("images", images), ("labels", membrane)):
            (tmp_path / split / kind).mkdir(parents=True)
            for i in indices:
                Image.fromarray(arrays[i].astype(np.uint8)).save(tmp_path / split / kind / f"{i:02d}.png")
    data = Isbi2012(root=str(tmp_path))
    assert data.splits == ("train", "val")
    sample = data.open("train")[1]
    assert (sample["image"].tolist(), sample["semantic"].tolist()) == ([images[1].tolist()], membrane[1].tolist())
    assert sample["meta"]["id"] == "train/01"
    before = data.fingerprint()
    (tmp_path / "val" / "labels" / "02.png").write_bytes(b"")
    assert data.fingerprint() != before


def test_what_is_missing_or_broken_is_said(tmp_path, volumes):
    data = Isbi2012(root=str(tmp_path))
    with pytest.raises(ConfigError, match=r"ISBI 2012 is not there; .*\(data\.root\); fix: put the challenge's train-volume\.tif"):
        data.open("train")
    stack(tmp_path / "train-volume.tif", volumes[0])
    with pytest.raises(DataError, match=r"the file is missing; .*train-labels\.tif"):
        data.open("train")
    stack(tmp_path / "train-labels.tif", volumes[1][:7])
    with pytest.raises(DataError, match=r"a stack of 7 slices, 30 are published; .*train-labels\.tif"):
        data.open("train")
    stack(tmp_path / "train-labels.tif", volumes[1] * 9)
    with pytest.raises(DataError, match=r"labels \[9\]; known are 0 \(membrane\) and 255; .*slice 0"):
        data.open("train")[0]
    with pytest.raises(ConfigError, match=r"no split 'trial'.*data\.split=train\|val\|test"):
        data.open("trial")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared): isbi2012")
def test_the_real_set():
    data = Isbi2012(root=str(SHARED))
    assert [len(data.open(s)) for s in data.splits] == [16, 6]
    labels = torch.stack([data.open("train")[i]["semantic"] for i in range(16)])
    assert data.open("train")[0]["image"].shape == (1, 512, 512)
    assert float((labels == 1).float().mean()) == pytest.approx(0.23, abs=0.005)  # the README's share
