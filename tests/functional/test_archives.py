"""Archives can't write outside their folder, and nothing half unpacked looks complete."""

import io
import tarfile

import pytest

from segexp.errors import DataError
from segexp.functional import archives
from segexp.functional.archives import unpack


def member(name, content=b"x", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, io.BytesIO(content)


def archive(path, *members):
    with tarfile.open(path, "w") as tar:
        for info, content in members:
            tar.addfile(info, content)
    return path


EVIL = {
    "above": member("../evil"),
    "absolute": member("/../../evil"),
    "link": member("link", b"", type=tarfile.SYMTYPE, linkname="../../evil"),
    "device": member("device", b"", type=tarfile.CHRTYPE),
}


@pytest.mark.parametrize("kind", EVIL)
def test_members_that_lead_outside_are_refused(tmp_path, kind):
    into = tmp_path / "deep" / "data"
    into.mkdir(parents=True)
    path = archive(into / "a.tar", member("good/file"), EVIL[kind])
    with pytest.raises(DataError, match=r"the archive can't be unpacked .*a\.tar; fix: fetch it anew"):
        unpack(path, into, "lists")
    assert [p.name for p in into.iterdir()] == ["a.tar"]
    assert not list(tmp_path.rglob("evil"))


def test_a_cut_archive_leaves_nothing(tmp_path):
    path = archive(tmp_path / "a.tar", member("good/file", b"x" * 5000), member("good/other", b"x" * 5000))
    path.write_bytes(path.read_bytes()[:7000])
    with pytest.raises(DataError, match="can't be unpacked"):
        unpack(path, tmp_path, "lists")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


def test_folders_are_merged_and_the_last_comes_last(tmp_path, monkeypatch):
    (tmp_path / "set" / "pictures").mkdir(parents=True)
    (tmp_path / "set" / "pictures" / "old").touch()
    (tmp_path / "set" / "lists").mkdir()
    path = archive(tmp_path / "a.tar", member("set/lists/train"), member("set/pictures/new"), member("set/zebra/z"))
    unpack(path, tmp_path, "lists")
    assert sorted(p.name for p in (tmp_path / "set").rglob("*") if p.is_file()) == ["new", "old", "train", "z"]


def test_a_link_to_a_member_within_is_refused_too(tmp_path):
    path = archive(tmp_path / "a.tar", member("good/file"), member("good/link", b"", type=tarfile.LNKTYPE, linkname="good/file"))
    with pytest.raises(DataError, match="'good/link': neither a file nor a folder"):
        unpack(path, tmp_path, "lists")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("twin", ["set/a.txt", "set/A.txt", "SET/a.txt"])
def test_a_name_that_stands_twice_is_refused(tmp_path, twin):
    path = archive(tmp_path / "a.tar", member("set/a.txt"), member(twin, b"other"))
    with pytest.raises(DataError, match=f"'{twin}': a name that stands twice"):
        unpack(path, tmp_path, "lists")


def test_what_would_fill_the_disk_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for info, content in (member("set/a", bytes(10**6)), member("set/b", bytes(10**6))):
            tar.addfile(info, content)
    monkeypatch.setattr(archives, "SLACK", 0)
    with pytest.raises(DataError, match=rf"'set/a': more than {archives.MAX_RATIO * path.stat().st_size} bytes"):
        unpack(path, tmp_path, "lists")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar.gz"]
    unpack(path, tmp_path, "lists", most=2 * 10**6)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 1)
    with pytest.raises(DataError, match="'set/b': more than 1 members"):
        unpack(path, tmp_path / "again", "lists", most=2 * 10**6)
