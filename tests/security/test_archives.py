"""Payloads of class 5: archives. Whatever a member is, nothing comes to lie but below the folder, and nothing half unpacked stays."""

import io
import tarfile
import zipfile

import pytest

from segexp.errors import DataError
from segexp.functional import archives
from segexp.functional.archives import unpack

MEMBERS = {  # name -> (path, kind, link, bytes)
    "above": ("../evil", tarfile.REGTYPE, "", b"x"),
    "far above": ("a/../../../../evil", tarfile.REGTYPE, "", b"x"),
    "above and back": ("a/../b", tarfile.REGTYPE, "", b"x"),
    "absolute": ("/tmp/evil", tarfile.REGTYPE, "", b"x"),
    "absolute twice": ("//tmp/evil", tarfile.REGTYPE, "", b"x"),
    "a folder above": ("../evil/", tarfile.DIRTYPE, "", b""),
    "symlink": ("good/link", tarfile.SYMTYPE, "../../evil", b""),
    "absolute symlink": ("good/link", tarfile.SYMTYPE, "/etc/passwd", b""),
    "symlink within": ("good/link", tarfile.SYMTYPE, "file", b""),
    "symlink to the folder above": ("good/link", tarfile.SYMTYPE, "..", b""),
    "hard link": ("good/link", tarfile.LNKTYPE, "../../evil", b""),
    "hard link within": ("good/link", tarfile.LNKTYPE, "good/file", b""),
    "character device": ("good/device", tarfile.CHRTYPE, "", b""),
    "block device": ("good/device", tarfile.BLKTYPE, "", b""),
    "fifo": ("good/pipe", tarfile.FIFOTYPE, "", b""),
    "an unknown kind": ("good/kind", b"Z", "../x", b""),
    "a name twice": ("good/file", tarfile.REGTYPE, "", b"other"),
    "a name in other letters": ("GOOD/File", tarfile.REGTYPE, "", b"other"),
    "a name in other unicode": ("good/e\u0301", tarfile.REGTYPE, "", b"other"),
    "a file for a folder": ("good", tarfile.REGTYPE, "", b"x"),
    "a name with a zero": ("good/a\0b", tarfile.REGTYPE, "", b"x"),
    "a very long name": ("a" * 5000, tarfile.REGTYPE, "", b"x"),
}


def tar(path, kind, mode="w"):
    name, type_, link, content = MEMBERS[kind]
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as file:
        for own, bytes_ in (("good/file", b"fine"), ("good/\u00e9", b"fine")):
            file.addfile(member(own, len(bytes_)), io.BytesIO(bytes_))
        info = member(name, len(content))
        info.type, info.linkname, info.mode = type_, link, 0o4777
        file.addfile(info, io.BytesIO(content))
    return path


def member(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    return info


HARMLESS = ("a name with a zero",)  # what tarfile itself reads as a plain file of a plain name


@pytest.mark.parametrize("kind", [kind for kind in MEMBERS if kind not in HARMLESS])
def test_a_member_that_is_no_plain_file_is_refused(kind, tmp_path, marker):
    into = tmp_path / "deep" / "data"
    into.mkdir(parents=True)
    for mode, name in (("w", "a.tar"), ("w:gz", "a.tar.gz")):
        path = tar(into / name, kind, mode)
        with pytest.raises(DataError, match=r"^the archive can't be unpacked \(") as caught:
            unpack(path, into, "lists")
        assert caught.value.where == str(path)
    assert sorted(p.name for p in into.iterdir()) == ["a.tar", "a.tar.gz"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep"] and [p.name for p in (tmp_path / "deep").iterdir()] == ["data"]


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_is_a_plain_file_stays_within(kind, tmp_path, marker):
    (tmp_path / "data").mkdir()
    unpack(tar(tmp_path / "data" / "a.tar", kind), tmp_path / "data", "lists")
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(tmp_path / "data" / "good") or path.name == "a.tar" for path in found)
    assert not any(path.stat().st_mode & 0o6000 for path in found)  # nothing that runs as its owner


def zeros(path, count):
    with tarfile.open(path, "w:gz", compresslevel=1) as file:
        for number in range(count):
            file.addfile(member(f"set/{number}", 2**24), io.BytesIO(bytes(2**24)))


def promising(path, count):
    with tarfile.open(path, "w") as file:
        file.addfile(member("set/small", 1), io.BytesIO(b"x"))
        info = member("set/large", 2**50)
        file.fileobj.write(info.tobuf())


LARGE = {"zeros": zeros, "a promise": promising}


@pytest.mark.parametrize("kind", LARGE)
def test_an_archive_that_would_fill_the_disk_is_refused(kind, tmp_path, marker, monkeypatch):
    monkeypatch.setattr(archives, "SLACK", 2**20)
    path = tmp_path / "a.tar.gz"
    LARGE[kind](path, 3)
    with pytest.raises(DataError, match=r"more than \d+ bytes"):
        unpack(path, tmp_path, "lists")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar.gz"]


def test_too_many_members_are_refused(tmp_path, marker, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 100)
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for number in range(200):
            file.addfile(member(f"set/{number}", 0))
    with pytest.raises(DataError, match="more than 100 members"):
        unpack(tmp_path / "a.tar", tmp_path, "lists")
    assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


def test_what_is_no_tar_is_refused(tmp_path, marker):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../evil", bytes(10**6))
    for raw in ((tmp_path / "a.zip").read_bytes(), b"", b"\x01" * 10**4, b"\x1f\x8b" + bytes(100)):
        (tmp_path / "a.tar").write_bytes(raw)
        with pytest.raises(DataError, match="can't be unpacked"):
            unpack(tmp_path / "a.tar", tmp_path, "lists")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "a.zip"]


def test_the_members_would_escape_where_all_is_trusted(tmp_path):
    """The control: unpacked without a filter, the file lies above the folder."""
    (tmp_path / "deep").mkdir()
    with tarfile.open(tar(tmp_path / "a.tar", "above")) as file:
        file.extractall(tmp_path / "deep", filter="fully_trusted")
    assert (tmp_path / "evil").read_bytes() == b"x"
