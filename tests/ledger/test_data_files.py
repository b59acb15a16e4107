"""The table of a data set's files: contents count, whatever sizes and times say; the cache never lies."""

import json
import os
from pathlib import Path

import pytest

from segexp.ledger import data_files
from segexp.ledger.data_files import differences, read_table, table, write_table


class Files:
    """A data set of the files of a folder; of each split its own, and a list that all of them share."""

    splits = ("train", "val")

    def __init__(self, root):
        self.root = Path(root)

    def open(self, split):
        return Split(self.root, split)


class Split:
    def __init__(self, root, split):
        self.root, self.found = root, sorted((root / split).glob("*.png"))

    def __len__(self):
        return len(self.found)

    def paths(self, index):
        return self.found[index], None

    def related(self, index):
        return (self.root / "list.txt",)


class Nothing:
    splits = ("train",)

    def open(self, split):
        return [1, 2]


@pytest.fixture
def root(tmp_path):
    for name in ("train/a.png", "train/b.png", "val/a.png", "list.txt"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(name)
    return tmp_path / "set"


def test_each_file_has_its_digest_by_its_place_in_the_folder(root):
    found = table(Files(root), str(root))
    assert found["how"] == "whole"
    assert list(found["files"]) == ["train/a.png", "list.txt", "train/b.png", "val/a.png"]
    assert len(set(found["files"].values())) == 4
    moved = root.rename(root.with_name("moved"))
    assert table(Files(moved), str(moved)) == found


def test_files_outside_have_their_whole_path(root):
    assert f"{root}/list.txt" in table(Files(root), None)["files"]
    assert f"{root}/list.txt" in table(Files(root), str(root / "train"))["files"]


def test_a_change_of_the_same_size_and_time_is_seen(root):
    before, path = table(Files(root), str(root)), root / "train" / "b.png"
    stat = path.stat()
    path.write_text("train/B.png")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (root / "val" / "a.png").unlink()
    (root / "val" / "c.png").write_text("new")
    found = differences(before, table(Files(root), str(root)))
    assert (found.changed, found.gone, found.new) == (("train/b.png",), ("val/a.png",), ("val/c.png",))
    assert found
    assert not differences(before, before)


@pytest.mark.parametrize(("position", "seen"), [(0, True), (150_000, False), (299_999, True)])
def test_of_a_large_set_the_ends_and_the_sizes_are_read(root, position, seen, monkeypatch):
    monkeypatch.setattr(data_files, "WHOLE", 1000)
    content, path = bytearray(300_000), root / "train" / "a.png"
    path.write_bytes(bytes(content))
    before = table(Files(root), str(root))
    assert before["how"] == "ends"
    content[position] = 1
    path.write_bytes(bytes(content))
    assert bool(differences(before, table(Files(root), str(root)))) is seen
    path.write_bytes(bytes(content) + b"x")
    assert differences(before, table(Files(root), str(root)))


def test_what_was_read_is_not_read_again_until_it_changes(root, tmp_path, monkeypatch):
    cache, opened = tmp_path / "cache" / "digests.json", []
    whole = Path.open

    def noted(path, *args, **kwargs):
        if path.is_relative_to(root):
            opened.append(path.name)
        return whole(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", noted)
    first = table(Files(root), str(root), cache)
    assert sorted(opened) == ["a.png", "a.png", "b.png", "list.txt"]
    opened.clear()
    assert table(Files(root), str(root), cache) == first
    assert opened == []
    (root / "list.txt").write_text("longer than before")
    opened.clear()
    assert differences(first, table(Files(root), str(root), cache)).changed == ("list.txt",)
    assert opened == ["list.txt"]


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "{"])
def test_a_broken_cache_is_no_cache(root, tmp_path, text):
    (tmp_path / "cache").write_text(text)
    assert table(Files(root), str(root), tmp_path / "cache") == table(Files(root), str(root))


def test_it_is_a_file_of_the_run_where_there_are_files(root, tmp_path):
    write_table(tmp_path, Files(root), str(root), tmp_path)
    assert list((tmp_path / ".cache").glob("digests-*.json"))
    assert read_table(tmp_path) == table(Files(root), str(root))
    assert json.loads((tmp_path / "data.json").read_text())["how"] == "whole"


def test_a_set_without_files_has_none(tmp_path):
    write_table(tmp_path, Nothing(), None)
    assert read_table(tmp_path) is None
    assert not (tmp_path / "data.json").exists()


def test_a_missing_file_has_no_digest(root):
    dataset = Files(root)
    opened = dataset.open("train")
    opened.found.append(root / "gone.png")
    dataset.open = lambda split: opened
    assert table(dataset, str(root))["files"]["gone.png"] is None
