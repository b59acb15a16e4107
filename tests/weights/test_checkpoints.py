"""A checkpoint is there as a whole or not at all, whatever the disk does; the one before always loads."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segexp.errors import WeightsError
from segexp.functional.tensors import load_plain
from segexp.weights import checkpoints
from segexp.weights.checkpoints import (
    CheckpointError,
    listed,
    newest,
    pointed,
    record_of,
    require_space,
    set_aside,
    settle,
    verify,
    write,
)


def state(number):
    return {"state_dict": {"w": torch.full((50, 40), float(number)), "b": torch.arange(3)}, "step": number, "names": ["a", None, 1.5, True]}


def save(folder, number, name=None):
    path = folder / f"{name or f'step-{number}'}.ckpt"
    write(path, state(number), {"step": number, "score": number / 10})
    return path


def temporaries(folder):
    return [path.name for path in folder.iterdir() if ".tmp." in path.name]


def test_what_is_written_is_read_again_with_its_record(tmp_path):
    path = save(tmp_path / "checkpoints", 4)
    read = load_plain(path)
    assert torch.equal(read["state_dict"]["w"], torch.full((50, 40), 4.0))
    assert (read["step"], read["names"]) == (4, ["a", None, 1.5, True])
    record = json.loads(path.with_suffix(".json").read_text())
    assert record == {"step": 4, "score": 0.4, "sha256": checkpoints.sha256(path), "size": path.stat().st_size}
    verify(path)
    assert temporaries(path.parent) == []


class Failing:
    """A file whose write number `at` fails, and all after it, as on a full disk."""

    def __init__(self, file, at, number):
        self.file, self.at, self.number, self.count = file, at, number, 0

    def write(self, data):
        self.count += 1
        if self.count > self.at:
            raise OSError(self.number, os.strerror(self.number))
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def writes(folder):
    """How many calls of write a checkpoint takes."""
    counted = []
    original = Path.open

    def opened(self, mode="r", *args, **kwargs):
        file = original(self, mode, *args, **kwargs)
        if mode == "wb" and ".ckpt.tmp" in self.name:
            file = Failing(file, 10**9, errno.EIO)
            counted.append(file)
        return file

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", opened)
        save(folder, 1)
    return counted[0].count


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_a_failure_of_any_write_call_leaves_the_one_before(tmp_path, monkeypatch, number):
    count = writes(tmp_path / "count")
    assert count > 5
    folder = tmp_path / "checkpoints"
    before = save(folder, 1)
    original = Path.open
    for at in range(count):
        with monkeypatch.context() as patch:
            patch.setattr(
                Path,
                "open",
                lambda self, mode="r", *a, at=at, **k: (
                    Failing(original(self, mode, *a, **k), at, number)
                    if mode == "wb" and ".ckpt.tmp" in self.name
                    else original(self, mode, *a, **k)
                ),
            )
            with pytest.raises(CheckpointError, match=f"it can't be written: {os.strerror(number)}; .*step-2.ckpt; fix: make room"):
                save(folder, 2)
        assert newest(folder) == (before, [])
        assert temporaries(folder) == []
        assert not (folder / "step-2.ckpt").exists()


@pytest.mark.parametrize("call", ["fsync", "replace", "sync_folder", "write_json", "mkdir"])
def test_a_failure_of_any_other_call_leaves_the_one_before(tmp_path, monkeypatch, call):
    folder = tmp_path / "checkpoints"
    before = save(folder, 1)

    def fail(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        owner = {"fsync": os, "replace": Path, "mkdir": Path}.get(call, checkpoints)
        patch.setattr(owner, call, fail)
        with pytest.raises(CheckpointError, match="Input/output error"):
            save(folder, 2)
    assert newest(folder) == (before, [])
    assert temporaries(folder) == []
    assert newest(save(folder, 2).parent)[0].name == "step-2.ckpt"  # the same step can be written afterwards


def test_a_limit_of_the_system_on_file_sizes(tmp_path):
    """EFBIG from the system itself, with the temporary folder on another file system."""
    code = (
        "import resource, sys; from pathlib import Path; import torch; from segexp.weights.checkpoints import CheckpointError, write\n"
        "folder = Path(sys.argv[1]); write(folder / 'step-1.ckpt', {'w': torch.zeros(10)}, {'step': 1})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "try: write(folder / 'step-2.ckpt', {'w': torch.zeros(100_000)}, {'step': 2})\n"
        "except CheckpointError as error: print(error.what); sys.exit(7)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120, env=os.environ | {"TMPDIR": "/dev/shm"}
    )
    assert (done.returncode, done.stdout) == (7, "it can't be written: File too large\n"), done.stderr
    assert newest(tmp_path) == (tmp_path / "step-1.ckpt", [])
    assert temporaries(tmp_path) == []


def test_what_a_safe_load_refuses_is_not_written(tmp_path):
    before = save(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"it wouldn't load again: .*; fix: let callbacks keep tensors and numbers"):
        write(tmp_path / "step-2.ckpt", {"callback": {"path": Path("x")}}, {"step": 2})
    assert newest(tmp_path) == (before, [])
    assert temporaries(tmp_path) == []


DAMAGE = {
    "truncated": (lambda p: os.truncate(p, p.stat().st_size // 2), r"it has \d+ bytes, written were \d+"),
    "empty": (lambda p: p.write_bytes(b""), "it has 0 bytes, written were"),
    "bit flipped": (
        lambda p: p.write_bytes(p.read_bytes()[:900] + bytes([p.read_bytes()[900] ^ 4]) + p.read_bytes()[901:]),
        "its sha256 isn't",
    ),
    "foreign": (lambda p: p.write_bytes(b"PK\x03\x04 something else"), r"it has \d+ bytes"),
    "gone": (lambda p: None, ""),
    "record broken": (lambda p: p.with_suffix(".json").write_text("{"), "its record can't be read"),
    "record of something else": (lambda p: p.with_suffix(".json").write_text('{"step": 2}'), "its record can't be read"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_seen_and_the_one_before_is_taken(tmp_path, kind):
    damage, said = DAMAGE[kind]
    first, second = save(tmp_path, 1), save(tmp_path, 2)
    damage(second)
    if kind == "gone":
        second.unlink()
    found, faults = newest(tmp_path)
    assert found == first
    if kind != "gone":
        assert [fault.where for fault in faults] == [str(second)]
        with pytest.raises(WeightsError, match=said):
            verify(second)
    set_aside(second)
    assert newest(tmp_path) == (first, [])
    if kind != "gone":
        assert (tmp_path / "step-2.ckpt.broken").exists()


def test_order_pointers_and_what_is_kept(tmp_path):
    for number in (5, 10, 15, 9):
        save(tmp_path, number)
    save(tmp_path, 15, "step-15-pending")
    (tmp_path / "step-99.ckpt").write_bytes(b"no record: it was killed here")
    assert [path.stem for path in listed(tmp_path)] == ["step-15", "step-15-pending", "step-10", "step-9", "step-5"]
    assert pointed(tmp_path, "last") is None
    settle(tmp_path, "step-15", "val/loss", 2)
    assert (pointed(tmp_path, "last").stem, pointed(tmp_path, "best").stem) == ("step-15", "step-5")
    assert sorted(path.stem for path in tmp_path.glob("*.ckpt")) == ["step-10", "step-15", "step-5"]
    assert sorted(path.stem for path in tmp_path.glob("*.json")) == ["step-10", "step-15", "step-5"]
    assert record_of(tmp_path / "step-10.ckpt")["score"] == 1.0


def scored(folder, scores):
    for number, score in scores.items():
        write(folder / f"step-{number}.ckpt", state(number), {"step": number, "score": score})


@pytest.mark.parametrize(
    ("monitor", "scores", "best"),
    [
        ("val/miou", {1: 0.3, 2: 0.9, 3: 0.5}, "step-2"),
        ("val/loss", {1: 0.7, 2: 0.9, 3: 0.5}, "step-3"),
        ("val/hd95/car", {1: 0.7, 2: 0.9, 3: 0.5}, "step-3"),
        ("val/iou/loss", {1: 0.7, 2: 0.9, 3: 0.5}, "step-2"),
        ("val/miou", {8: 0.5, 9: 0.5, 10: 0.5}, "step-8"),  # the first of equals, by number rather than by name
        ("val/loss", {8: 0.5, 9: 0.5, 10: 0.6}, "step-8"),
        ("val/miou", {1: -0.5, 2: None, 3: -0.6}, "step-1"),  # one without a score isn't one of 0
        (None, {1: None, 2: None}, None),
    ],
)
def test_the_best_is_that_of_the_records(tmp_path, monitor, scores, best):
    scored(tmp_path, scores)
    settle(tmp_path, f"step-{max(scores)}", monitor)
    found = pointed(tmp_path, "best")
    assert (found and found.stem) == best
    kept = {f"step-{number}" for number in sorted(scores)[-2:]} | ({best} - {None})
    assert {path.stem for path in tmp_path.glob("*.ckpt")} == {path.stem for path in tmp_path.glob("*.json")} == kept


def test_a_broken_record_has_no_say_in_what_is_best(tmp_path):
    scored(tmp_path, {1: 0.4, 2: 0.9, 3: 0.5})
    (tmp_path / "step-2.json").write_text("{")
    settle(tmp_path, "step-3", "val/miou", keep=1)
    assert pointed(tmp_path, "best").stem == "step-3"
    assert [path.stem for path in tmp_path.glob("*.ckpt")] == ["step-3"]


@pytest.mark.parametrize("garbage", [b"\xff\x00\x80", b"", b"step-7/../x", b"step-"])
def test_pointers_of_garbage_point_nowhere_and_are_written_anew(tmp_path, garbage):
    scored(tmp_path, {1: 0.4, 2: 0.3})
    for which in ("last", "best"):
        (tmp_path / which.upper()).write_bytes(garbage)
        assert pointed(tmp_path, which) is None
    settle(tmp_path, "step-2", "val/miou")
    assert (pointed(tmp_path, "last").stem, pointed(tmp_path, "best").stem) == ("step-2", "step-1")


def test_nothing_there(tmp_path):
    assert newest(tmp_path / "nowhere") == (None, [])


def test_a_disk_that_is_too_small_is_refused_with_both_numbers(tmp_path):
    require_space(tmp_path, 1000)
    with pytest.raises(CheckpointError, match=r"three checkpoints need 3,000,000,000,000 MB, and [\d,]+ MB are free; .*; fix: free some"):
        require_space(tmp_path, 10**18)
