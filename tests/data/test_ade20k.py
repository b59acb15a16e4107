"""ADE20K on a generated tree in its layout."""

import numpy as np
import pytest
from PIL import Image

from segexp.data.ade20k import ADE20K
from segexp.errors import ConfigError, DataError


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for folder, count in (("training", 3), ("validation", 2)):
        for kind in ("images", "annotations"):
            (tmp_path / kind / folder).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (10, 14, 3), dtype=np.uint8)).save(tmp_path / f"images/{folder}/ADE_{i}.jpg")
            Image.fromarray(rng.integers(0, 151, (10, 14), dtype=np.uint8)).save(tmp_path / f"annotations/{folder}/ADE_{i}.png")
    return tmp_path


def test_other_is_ignored_and_classes_begin_at_zero(root):
    data = ADE20K(root=str(root))
    opened = data.open("val")
    raw = np.asarray(Image.open(root / "annotations/validation/ADE_1.png")).astype(int)
    sample = opened[1]
    assert data.unlabelled == ()
    assert (data.splits, len(opened), sample["meta"]["id"]) == (("train", "val"), 2, "val/ADE_1")
    assert np.array_equal(sample["semantic"].numpy(), np.where(raw == 0, 255, raw - 1))


def test_the_classes():
    spec = ADE20K.spec
    assert spec.num_classes == len(set(spec.names)) == len({c.color for c in spec.classes}) == 150
    assert (spec.names[0], spec.names[12], spec.names[149]) == ("wall", "person", "flag")
    assert spec.values == tuple(range(1, 151))


def test_the_test_split_has_pictures_alone(root):
    (root / "release_test/testing").mkdir(parents=True)
    Image.fromarray(np.zeros((6, 6, 3), np.uint8)).save(root / "release_test/testing/ADE_test_1.jpg")
    data = ADE20K(root=str(root))
    assert set(data.open("test")[0]) == {"image", "meta"}
    assert (data.splits, data.unlabelled) == (("train", "val"), ("test",))


def test_what_is_wrong_is_named(root, tmp_path):
    with pytest.raises(ConfigError, match=r"ADE20K is not there; .*ADEChallengeData2016.zip"):
        ADE20K(root=str(tmp_path / "nowhere")).open("train")
    with pytest.raises(ConfigError, match=r"no split 'test'.*fix: data.split=train\|val"):
        ADE20K(root=str(root)).open("test")
    Image.fromarray(np.full((10, 14), 151, np.uint8)).save(root / "annotations/validation/ADE_0.png")
    with pytest.raises(DataError, match=r"no class has: 151 in 140 pixels; known are 0..150"):
        ADE20K(root=str(root)).open("val")[0]


def test_fingerprint_sees_a_changed_file(root):
    before = ADE20K(root=str(root)).fingerprint()
    (root / "annotations/training/ADE_0.png").write_bytes(b"")
    assert ADE20K(root=str(root)).fingerprint() != before
