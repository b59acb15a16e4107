"""Checkpoint files: written once, whole or not at all, verified before they count and again before they are used.

`step-<n>.ckpt` has the state, `step-<n>.json` its sha256, size and step; `LAST` and `BEST` name one of them. A file is never
rewritten: a state that is saved while the step's validation is still to come is `step-<n>-pending.ckpt`. The checkpoint of a
sharded run is a folder of that name (segexp/weights/sharded.py), whose record has sha256 and size of each file. The order of things
on disk (state, record, pointer, only then the removal of older ones) makes the newest valid file findable after a kill at any
moment, without the pointers.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from segexp.errors import SegexpError, WeightsError
from segexp.functional.files import read_json, remove, sync_folder, write_atomic, write_json

FALLING = frozenset({"loss", "hd95", "assd", "surface_missing"})  # figures of which less is better
_NAME = re.compile(r"step-(\d+)(-pending)?")


class CheckpointError(SegexpError):
    """A checkpoint can't be written."""

    code = "checkpoint"


def name_of(step: int, *, pending: bool = False) -> str:
    """The name of a step's checkpoint, without its ending."""
    return f"step-{step}-pending" if pending else f"step-{step}"


def write(path: Path, state: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Write a state and its record.

    It is streamed to a temporary file of the same folder, synced, read back, opened as a checkpoint, and only then renamed.

    Args:
        path: `<folder>/step-<n>.ckpt`; the folder is made if it is missing.
        state: tensors and plain containers.
        record: joined to sha256 and size in the file beside it.

    Raises:
        CheckpointError: it can't be written or read back, or holds what a safe load refuses. What was there stays.
    """
    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}")
    try:
        with told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            digest = stream(temporary, state)
            size = temporary.stat().st_size
            if path.is_dir():
                remove(path)  # of a sharded run that was ended before its record was written
            temporary.replace(path)
            sync_folder(path.parent)
            write_json(record_file(path), {**record, "sha256": digest, "size": size})
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Around the writing of a checkpoint: what the disk or the reader says becomes a `CheckpointError`."""
    try:
        yield
    except OSError as error:
        fix = "make room or mend the folder; the same command goes on from the last one"
        raise CheckpointError(f"it can't be written: {error.strerror or error}", where=str(path), fix=fix) from error
    except WeightsError as error:
        fix = "let callbacks keep tensors and numbers"
        raise CheckpointError(f"it wouldn't load again: {error.what}", where=str(path), fix=fix) from error


def stream(path: Path, state: Mapping[str, Any]) -> str:
    """Write a state to a file, sync it, read it back and open it as a checkpoint; its sha256.

    Raises:
        OSError: it can't be written.
        CheckpointError: other bytes were read back.
        WeightsError: it holds what a safe load refuses.
    """
    from segexp.functional.tensors import load_plain

    with path.open("wb") as file:
        out = _Hashed(file)
        _save(state, out)
        file.flush()
        os.fsync(file.fileno())
    if sha256(path) != out.digest.hexdigest():
        raise CheckpointError("what was read back isn't what was written", where=str(path), fix="check the disk")
    load_plain(path, mmap=True)
    return out.digest.hexdigest()


class _Hashed(io.BufferedIOBase):
    """A file to write to, with the sha256 of what went through; keeps the error that torch's writer would swallow."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.digest = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        if self.error is not None:  # torch goes on after a failed write, and at the end only says that it failed
            return len(data)
        try:
            self.file.write(data)
        except OSError as error:
            self.error = error
            return len(data)
        self.digest.update(data)
        return len(data)

    def flush(self) -> None:
        """Torch asks for it at the end."""


def _save(state: Mapping[str, Any], stream: _Hashed) -> None:
    import torch  # here: to look for checkpoints takes none of it

    torch.save(dict(state), stream)  # ty: ignore[invalid-argument-type]  # a writable file is all it needs
    if stream.error is not None:
        raise stream.error


def sha256(path: Path) -> str:
    """The digest of a file's bytes, or of the names and digests of a folder's files."""
    if path.is_dir():
        return contents(path)["sha256"]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(folder: Path) -> dict[str, Any]:
    """What the record of a sharded checkpoint says of its files: sha256, size, and both of each."""
    files = sorted(folder.iterdir())
    shards = {path.name: {"sha256": sha256(path), "size": path.stat().st_size} for path in files}
    lines = "".join(f"{found['sha256']} {name}\n" for name, found in shards.items())
    return {
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
        "size": sum(path.stat().st_size for path in files),
        "shards": shards,
    }


def record_file(path: Path) -> Path:
    """What stands beside a checkpoint."""
    return path.with_suffix(".json")


def require_file(path: Path) -> None:
    """Refuse a path of weights that is neither a file nor a sharded checkpoint.

    Raises:
        WeightsError: nothing is there, or it is another folder.
    """
    if path.is_dir() and not (path / ".metadata").is_file():
        raise WeightsError("it is a folder", where=str(path), fix="name a checkpoint in it")
    if not path.exists():
        raise WeightsError("the file is missing", where=str(path), fix="name a checkpoint that is there, or fetch it first")


def read_checkpoint(path: Path, *, mmap: bool = False, parts: tuple[str, ...] = ()) -> Any:
    """The state in a checkpoint, a file or a folder, on the CPU.

    Args:
        path: the checkpoint.
        mmap: leave the tensors of a file on the disk until they are read.
        parts: of a folder, only the cut tensors below these entries are read; all unless given.

    Raises:
        WeightsError: missing, broken, or naming anything to call.
    """
    if path.is_dir():
        from segexp.weights.sharded import read_sharded

        return read_sharded(path, parts)
    from segexp.functional.tensors import load_plain

    return load_plain(path, mmap=mmap)


def listed(folder: Path) -> list[Path]:
    """The checkpoints of a folder that have a record, newest first."""
    found = [(path, match) for path in folder.glob("step-*.ckpt") if (match := _NAME.fullmatch(path.stem))]
    found.sort(key=lambda item: (int(item[1][1]), item[1][2] is None), reverse=True)
    return [path for path, _ in found if record_file(path).is_file()]


def record_of(path: Path) -> dict[str, Any]:
    """What stands beside a checkpoint: step, score, sha256, size.

    Raises:
        WeightsError: it is missing or broken.
    """
    try:
        record = read_json(record_file(path))
        return {"step": int(record["step"]), "sha256": str(record["sha256"]), "size": int(record["size"])} | record
    except (OSError, SegexpError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"its record can't be read ({type(error).__name__})", where=str(path), fix="use another checkpoint") from None


def verify(path: Path) -> None:
    """Compare a checkpoint with its record.

    Raises:
        WeightsError: it is missing, or of another size or content.
    """
    record = record_of(path)
    if "shards" not in record:
        _compare(path, record)
        return
    names = {file.name for file in path.iterdir()} if path.is_dir() else set()
    if other := sorted(names ^ record["shards"].keys()):
        raise WeightsError(f"{other[0]} {'is missing' if other[0] not in names else 'was never written'}", **_other(path))
    for name, written in record["shards"].items():
        _compare(path / name, written)


def _compare(path: Path, written: Mapping[str, Any]) -> None:
    try:
        size = path.stat().st_size
        same = size == written["size"] and sha256(path) == written["sha256"]
    except OSError as error:
        raise WeightsError(f"it can't be read: {error.strerror}", **_other(path)) from None
    if not same:
        by_size = f"it has {size} bytes, written were {written['size']}"
        raise WeightsError(by_size if size != written["size"] else "its sha256 isn't the one that was written", **_other(path))


def _other(path: Path) -> dict[str, str]:
    return {"where": str(path), "fix": "use another checkpoint"}


def newest(folder: Path) -> tuple[Path | None, list[WeightsError]]:
    """The newest checkpoint that is what was written, and what is wrong with those that are newer."""
    faults = []
    for path in listed(folder):
        try:
            verify(path)
            return path, faults
        except WeightsError as error:
            faults.append(error)
    return None, faults


def set_aside(path: Path) -> None:
    """Rename a broken checkpoint, so that its step can be saved again and somebody can look at it."""
    record_file(path).unlink(missing_ok=True)
    if path.exists():
        aside = path.with_suffix(".ckpt.broken")
        remove(aside)
        path.replace(aside)


def point(folder: Path, which: str, name: str) -> None:
    """Let `LAST` or `BEST` name a checkpoint."""
    write_atomic(folder / which.upper(), name)


def pointed(folder: Path, which: str) -> Path | None:
    """The checkpoint that `last` or `best` names; None where nothing is named."""
    pointer = folder / which.upper()
    name = pointer.read_text(errors="replace").strip() if pointer.is_file() else ""
    return folder / f"{name}.ckpt" if _NAME.fullmatch(name) else None


def settle(folder: Path, last: str, monitor: str | None, keep: int = 2) -> None:
    """Bring the pointers to what is on the disk, and remove what is older; also after a kill on the way.

    Args:
        folder: of checkpoints.
        last: the name of the newest state.
        monitor: the figure of which `score` is the value; less is better if it ends in `loss`.
        keep: how many of the newest steps stay; the best stays in any case.
    """
    point(folder, "last", last)
    if best := _best(folder, monitor):
        point(folder, "best", best.stem)
    _prune(folder, keep)


def _best(folder: Path, monitor: str | None) -> Path | None:
    """The first of the best by the scores of the records; it is never removed, so that all that count are there."""
    sign = -1.0 if _falls(monitor or "") else 1.0
    found: list[tuple[float, Path]] = []
    for path in reversed(listed(folder)):
        with suppress(WeightsError):  # a broken record has no say
            if (score := record_of(path).get("score")) is not None:
                found.append((sign * score, path))
    return max(found, key=lambda item: item[0])[1] if found else None


def _falls(monitor: str) -> bool:
    """Is less of this figure better? `val/loss`, `val/loss/ce`, `val/hd95/car`."""
    return monitor.partition("/")[2].partition("/")[0] in FALLING


def _prune(folder: Path, keep: int) -> None:
    kept = {path.stem for which in ("last", "best") if (path := pointed(folder, which))}
    newest_of_step = {_step(path): path.stem for path in reversed(listed(folder))}  # the whole one rather than the pending
    kept |= {newest_of_step[step] for step in sorted(newest_of_step, reverse=True)[:keep]}
    for path in folder.glob("step-*.ckpt"):
        if _NAME.fullmatch(path.stem) and path.stem not in kept:
            record_file(path).unlink(missing_ok=True)  # first: a checkpoint without a record doesn't count
            remove(path)


def _step(path: Path) -> int:
    return int(path.stem.split("-")[1])


def require_space(folder: Path, size: int) -> None:
    """Refuse to start where three checkpoints wouldn't fit.

    Args:
        folder: on the disk in question.
        size: estimated bytes of one checkpoint.

    Raises:
        CheckpointError: gives the bytes needed and free.
    """
    free = shutil.disk_usage(folder).free
    if free < 3 * size:
        what = f"three checkpoints need {3 * size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free"
        raise CheckpointError(what, where=str(folder), fix="free some, or paths.outputs=<folder on another disk>")
