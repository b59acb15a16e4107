"""Torch files are read as tensors and plain containers, whatever the process or its environment would permit."""

import re
import zipfile
from pathlib import Path

import pytest
import torch

from segexp.errors import WeightsError
from segexp.functional.tensors import load_plain

PACKAGE = Path(__file__).resolve().parents[2] / "segexp"
STATE = {"a": torch.arange(6.0).reshape(2, 3), "n": 3, "text": "x", "list": [1.5, None, (True, {"b": torch.zeros(0)})]}


class Trusted:
    """Somebody has told torch that it is safe."""


class Doubled(torch.nn.Linear):
    pass


@pytest.mark.parametrize("mmap", [False, True])
def test_what_was_saved_comes_back(tmp_path, mmap):
    torch.save(STATE, tmp_path / "a.ckpt")
    found = load_plain(tmp_path / "a.ckpt", mmap=mmap)
    assert torch.equal(found["a"], STATE["a"]) and found["a"].device.type == "cpu"
    assert (found["n"], found["text"], found["list"][:2]) == (3, "x", [1.5, None])


def test_the_old_format_is_read_as_well(tmp_path):
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(load_plain(tmp_path / "old.pth")["a"], STATE["a"])


def test_what_others_call_safe_is_not_followed_and_stays_theirs(tmp_path):
    torch.save({"a": Trusted()}, tmp_path / "a.ckpt")
    with torch.serialization.safe_globals([Trusted]):
        assert isinstance(torch.load(tmp_path / "a.ckpt", weights_only=True)["a"], Trusted)
        with pytest.raises(WeightsError, match=r"it names \S*Trusted"):
            load_plain(tmp_path / "a.ckpt")
        assert Trusted in torch.serialization.get_safe_globals()


def broken(folder, kind):
    path = folder / f"{kind}.ckpt"
    if kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("hello, this is no checkpoint")
    elif kind == "truncated":
        torch.save({"a": torch.zeros(1000)}, path)
        path.write_bytes(path.read_bytes()[:900])
    elif kind == "foreign":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("letter.txt", "dear reader")
    elif kind == "module":
        torch.save(Doubled(2, 2), path)
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "no such file or directory"),
        ("empty", "it ends too early"),
        ("folder", "is a directory"),
        ("text", "KeyError: "),
        ("truncated", "failed finding central directory"),
        ("foreign", "not in a subdirectory: letter.txt"),
        ("module", "test_tensors.Doubled"),
    ],
)
def test_the_error_says_why_and_never_how_to_load_it_unsafely(tmp_path, kind, reason):
    path = broken(tmp_path, kind)
    with pytest.raises(WeightsError) as caught:
        load_plain(path)
    error = caught.value
    assert error.what.startswith("not a checkpoint that can be read safely (") and reason in error.what
    assert (error.where, error.fix) == (str(path), "fetch or write it again, as plain tensors")
    assert not re.search(r"weights_only|add_safe_globals|\n", str(error))


def test_there_is_no_other_way_in():
    opened = r"torch\.load\(|\bpickle\.(?:loads?\b|_?Unpickler)|weights_only=False|allow_pickle=True"
    opened += r"|joblib|\bdill\b|yaml\.(unsafe_|full_)?load\("
    found = [f"{path.name}: {m[0]}" for path in sorted(PACKAGE.rglob("*.py")) for m in re.finditer(opened, path.read_text())]
    assert found == ["tensors.py: torch.load(", "sharded.py: pickle._Unpickler"]  # which knows a few classes that hold values
