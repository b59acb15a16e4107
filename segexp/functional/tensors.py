"""Tensors from torch files: the one place that unpickles, and it unpickles nothing but tensors and plain containers."""

from __future__ import annotations

import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

from segexp.errors import WeightsError

_alone = threading.Lock()  # what torch takes for safe is one list of the process


def load_plain(path: Path, *, mmap: bool = False) -> Any:
    """What `torch.save` wrote, on the CPU: tensors, numbers, text, and lists, tuples, sets and dicts of them.

    Neither the environment (`TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`) nor what anybody registered with
    `torch.serialization.add_safe_globals` widens that.

    Args:
        path: the file.
        mmap: leave the tensors on the disk until they are read.

    Raises:
        WeightsError: missing, broken, or naming anything to call; nothing of it has been called then.
    """
    try:
        require_stored(path, path.stat().st_size)
        with plain_only():
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # unpicklers, archives and headers fail in many ways
        what = f"not a checkpoint that can be read safely ({_reason(error)})"
        raise WeightsError(what, where=str(path), fix="fetch or write it again, as plain tensors") from None


@contextmanager
def plain_only() -> Iterator[None]:
    """Where a library of torch reads tensors: nothing passes but what torch itself takes for safe."""
    with _alone, _nothing_added():
        yield


def require_stored(file: Path | BinaryIO, size: int) -> None:
    """Refuse an archive that would unpack to more than the file has: torch stores what it writes as it is.

    Raises:
        ValueError: it would.
    """
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        packed = next((entry for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED), None)
        total = sum(entry.file_size for entry in archive.infolist())
    if packed is not None:
        raise ValueError(f"{packed.filename} in it is compressed, which torch never does")
    if total > size:
        raise ValueError("it claims to hold more than the file has")


@contextmanager
def _nothing_added() -> Iterator[None]:
    added = get_safe_globals()
    clear_safe_globals()
    try:
        yield
    finally:
        add_safe_globals(added)


def _reason(error: Exception) -> str:
    """Torch's message in one sentence, without its advice to load the file unsafely."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, EOFError):
        return "it ends too early"
    text = str(error)
    if named := re.search(r"GLOBAL (\S+) (?:was not|whose)", text):
        return f"it names {named[1]}"
    said = re.split(r"WeightsUnpickler error:|Weights only load failed\.", text)[-1].strip()
    first = re.split(r"\n|(?<=\w)\. ", said)[0][:160]
    return first if " " in first else f"{type(error).__name__}: {first}".removesuffix(": ")
