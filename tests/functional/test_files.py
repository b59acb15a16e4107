"""Atomic files: old or new, never a part; and JSON whose figures are finite or null."""

import errno
import math
import os
import signal
import subprocess
import sys

import pytest

from segexp.errors import SegexpError
from segexp.functional import files
from segexp.functional.files import read_json, sync_folder, write_atomic, write_json


def names(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("content", ["grün\n", "grün\n".encode(), lambda file: file.write("grün\n".encode())])
def test_text_bytes_and_a_function_write_the_same(tmp_path, content):
    write_atomic(tmp_path / "a.txt", content)
    assert (tmp_path / "a.txt").read_bytes() == b"gr\xc3\xbcn\n"
    assert names(tmp_path) == ["a.txt"]


def test_a_failed_writer_keeps_the_old_file_and_leaves_no_temporary(tmp_path):
    path = tmp_path / "a.bin"
    write_atomic(path, b"old")

    def broken(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, broken)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch, call):
    path = tmp_path / "a.bin"
    write_atomic(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os if call == "fsync" else files.Path, call, full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_the_temporary_file_stands_in_the_same_folder_and_is_synced_before_the_rename(tmp_path, monkeypatch):
    seen = []
    fsync, replace = os.fsync, files.Path.replace
    monkeypatch.setattr(files.os, "fsync", lambda fd: (seen.append("fsync"), fsync(fd)))
    monkeypatch.setattr(files.Path, "replace", lambda self, to: (seen.append(self), replace(self, to)))
    write_atomic(tmp_path / "a.txt", "x")
    assert seen == ["fsync", tmp_path / f"a.txt.tmp.{os.getpid()}", "fsync"]  # file, rename, folder


def test_kill_within_the_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_atomic(path, "old")
    code = (
        "import os, signal, sys; from pathlib import Path; from segexp.functional.files import write_atomic\n"
        "write_atomic(Path(sys.argv[1]), lambda f: (f.write(b'half'), f.flush(), os.kill(os.getpid(), signal.SIGKILL)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_folder_that_cannot_be_synced_is_no_error_but_a_broken_disk_is(tmp_path, monkeypatch):
    def failing(number):
        def fsync(_):
            raise OSError(number, os.strerror(number))

        return fsync

    monkeypatch.setattr(files.os, "fsync", failing(errno.EINVAL))
    sync_folder(tmp_path)
    monkeypatch.setattr(files.os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        sync_folder(tmp_path)


def test_json_keeps_the_order_of_keys_and_the_values(tmp_path):
    value = {"b": 1, "a": [True, None, 0.1, "é"], "c": {}}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == '{\n "b": 1,\n "a": [\n  true,\n  null,\n  0.1,\n  "é"\n ],\n "c": {}\n}\n'
    assert read_json(tmp_path / "a.json") == value


def test_figures_that_are_not_finite_become_null(tmp_path):
    write_json(tmp_path / "a.json", {"iou": math.nan, "list": (math.inf, 1.5), "deep": [{"x": -math.inf}]})
    assert read_json(tmp_path / "a.json") == {"iou": None, "list": [None, 1.5], "deep": [{"x": None}]}


def test_a_value_without_a_json_form_writes_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": {1, 2}})
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b'{"a": 1', b"", b"\xff\xfe\xfa"])
def test_broken_json_is_named(tmp_path, content):
    path = tmp_path / "status.json"
    path.write_bytes(content)
    with pytest.raises(SegexpError) as caught:
        read_json(path)
    assert caught.value.what.startswith("not valid JSON") and caught.value.where == str(path)


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")
