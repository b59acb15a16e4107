"""Files that are either complete or absent: written beside their place, synced, renamed; and JSON on top of that."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from segexp.errors import SegexpError

_TEMPORARY = re.compile(r"\.(?:tmp|probe)\.(\d+)$")
Content = str | bytes | Callable[[BinaryIO], None]


def write_atomic(path: Path, content: Content) -> None:
    """Write a file so that a reader, or a restart after a kill, sees the old content or the new, never a part.

    The temporary file `<name>.tmp.<pid>` stands in the same folder, because a rename is atomic on one file system only.

    Args:
        path: the file; its folder must exist.
        content: text (written as UTF-8), bytes, or a function that writes to the open binary file.

    Raises:
        OSError: the disk is full, the folder isn't writable; the previous file is untouched and the temporary one gone.
    """
    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames within a folder survive a loss of power, where the file system can sync a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems can't, and say so
            raise
    finally:
        os.close(descriptor)


def remove_orphans(folder: Path) -> None:
    """Remove what dead processes were writing below a folder, and what this one can't have written: it has just begun.

    Whoever calls it holds the folder, so that a process with the number of a dead one is the only doubt; its file stays.
    """
    for path in list(folder.rglob("*.*")):
        match = _TEMPORARY.search(path.name)
        if match and (int(match[1]) == os.getpid() or not _alive(int(match[1]))):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def write_json(path: Path, value: Any) -> None:
    """Write plain containers as JSON, keys in the order of insertion.

    JSON has no NaN or infinity: a figure that isn't finite is written as null.

    Raises:
        TypeError: the value holds something that isn't a plain container, text, number, bool or None.
    """
    write_atomic(path, json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        FileNotFoundError: there is none.
        SegexpError: it isn't valid JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except RecursionError:
        raise SegexpError("not valid JSON: nested too deeply", where=str(path), fix="restore the file, or delete it") from None
    except ValueError as error:  # bad JSON, or bytes that aren't UTF-8
        raise SegexpError(f"not valid JSON: {error}", where=str(path), fix="restore the file, or delete it") from error


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
