"""What is read, what is remembered, and that a changed file is read again."""

import numpy as np
import pytest
from PIL import Image

from segexp.data.shapes import Shapes
from segexp.doctor.check import check
from segexp.doctor.scan import scan
from segexp.doctor.stamps import signature
from segexp.errors import ConfigError
from tests.doctor.tree import NUMBER, SIZE, VOID, Mini, ids, picture, plant, write_labels


@pytest.fixture
def data(tmp_path):
    return Mini(plant(tmp_path / "set"))


def test_the_facts_of_a_sample(data):
    labels = np.full(SIZE, VOID, np.uint8)
    labels[:3, :10], labels[5] = 1, 4
    write_labels(data.root / "masks/train/t2.png", labels)
    rows = scan(data, "train").rows
    row = rows[2]
    assert row["pixels"].tolist() == [0, 30, 0, 0, 48, 0]
    assert (int(row["void"]), row["size"].tolist(), int(row["bits"]), bool(row["labelled"])) == (40 * 48 - 78, [40, 48], 8, True)
    values = np.asarray(Image.open(data.root / "images/train/t2.png")).reshape(-1, 3) / 255
    assert np.allclose(row["sums"], [values.sum(0), (values**2).sum(0)])
    assert rows["read"].all()
    assert len(np.unique(rows["picture"])) == NUMBER


def test_a_second_scan_reads_nothing_and_gives_the_same(data, tmp_path):
    write_labels(data.root / "masks/train/t1.png", np.full(SIZE, VOID, np.uint8))
    first = check(data, cache=tmp_path / "cache")
    second = check(Mini(data.root), cache=tmp_path / "cache")
    assert [s.reread for s in first.scans] == [NUMBER, NUMBER]
    assert [s.reread for s in second.scans] == [0, 0]
    assert second.findings == first.findings
    assert [f.kind for f in first.findings] == ["all-ignored"]
    for a, b in zip(first.scans, second.scans, strict=True):
        assert np.array_equal(a.rows, b.rows)


def test_only_what_changed_is_read_again(data, tmp_path):
    check(data, cache=tmp_path / "cache")
    labels = ids(np.random.default_rng(1))
    labels[:2, :2] = 99
    write_labels(data.root / "masks/val/v3.png", labels)
    found = check(data, cache=tmp_path / "cache")
    assert [s.reread for s in found.scans] == [0, 1]
    assert [(f.kind, f.id) for f in found.findings] == [("label-value", "val/v3")]
    write_labels(data.root / "masks/val/v3.png", ids(np.random.default_rng(2)))
    assert check(data, cache=tmp_path / "cache").findings == []
    (data.root / "masks/val/v3.png").unlink()
    assert [f.kind for f in check(data, cache=tmp_path / "cache").findings] == ["missing-labels"]


def test_other_keys_of_the_set_are_another_cache(data, tmp_path):
    assert signature(data) == signature(Mini(data.root)) != signature(Mini(data.root, classes=5))
    assert signature(Shapes()) == signature(Shapes()) != signature(Shapes(seed=1))
    check(data, cache=tmp_path / "cache")
    assert [s.reread for s in check(Mini(data.root, classes=5), cache=tmp_path / "cache").scans] == [NUMBER, NUMBER]


def test_a_broken_cache_is_read_anew(data, tmp_path):
    whole = check(data, cache=tmp_path / "cache")
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    again = check(data, cache=tmp_path / "cache")
    assert [s.reread for s in again.scans] == [NUMBER, NUMBER]
    assert np.array_equal(again.scans[0].rows, whole.scans[0].rows)


def test_what_was_read_before_an_interruption_is_kept(data, tmp_path):
    def stop(name, done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(data, "train", cache=tmp_path / "cache", progress=stop)
    assert scan(data, "train", cache=tmp_path / "cache").reread == NUMBER - 4


def test_a_limited_scan_spoils_no_whole_one(data, tmp_path):
    scan(data, "train", cache=tmp_path / "cache")
    (data.root / "images/train/t0.png").touch()
    assert scan(data, "train", cache=tmp_path / "cache", limit=2).reread == 1
    assert scan(data, "train", cache=tmp_path / "cache").reread == 0


def test_workers_give_the_same(data):
    picture(np.random.default_rng(1)).convert("RGBA").save(data.root / "images/train/t2.png")
    told = []
    here, there = scan(data, "train"), scan(data, "train", workers=2, progress=lambda *args: told.append(args))
    assert np.array_equal(here.rows, there.rows)
    assert here.findings == there.findings
    assert [f.kind for f in there.findings] == ["alpha"]
    assert told == [("train", i, NUMBER) for i in range(1, NUMBER + 1)]


def test_a_set_without_files(tmp_path):
    data = Shapes(height=32, width=48, train=6, val=3, test=2)
    found = check(data, cache=tmp_path)
    assert found.findings == []
    assert [s.reread for s in found.scans] == [6, 3, 2]
    assert [s.reread for s in check(data, cache=tmp_path).scans] == [0, 0, 0]
    assert [s.reread for s in check(Shapes(height=32, width=48, train=7, val=3, test=2), cache=tmp_path).scans] == [7, 3, 2]
    row = found.scans[0].rows[0]
    assert int(row["pixels"].sum() + row["void"]) == 32 * 48


def test_a_split_that_is_not_there(data):
    with pytest.raises(ConfigError, match="shapes has no split 'tst'"):
        check(Shapes(), ["tst"])
