"""Disks on which a checkpoint can't be written; each is given the folder of checkpoints, and is mended at its end."""

import errno
import os
import resource
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def size_limit(folder):
    """No file may grow to the size of a checkpoint: EFBIG."""
    size = min(path.stat().st_size for path in folder.glob("*.ckpt")) - 1
    assert size > 2 * (folder.parent / "metrics.jsonl").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def full_disk(folder):
    """The disk of the checkpoints is a small one of its own: ENOSPC."""
    kept = shutil.copytree(folder, folder.parent / "kept")
    options = ["mount", "-t", "tmpfs", "-o", f"size={_used(folder) + 8192}", "tmpfs", str(folder)]
    mounted = subprocess.run(options, capture_output=True, text=True, check=False)
    if mounted.returncode:
        shutil.rmtree(kept)
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        with (folder / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while file.write(bytes(1000)):
                pass
        os.truncate(folder / "ballast", (folder / "ballast").stat().st_size - 4096)  # room for a page, not for a checkpoint
        yield
    finally:
        left = [path.name for path in folder.iterdir() if path.name != "ballast"]
        for name in left:
            shutil.copy2(folder / name, kept / name)
        subprocess.run(["umount", str(folder)], check=True)
        for path in folder.iterdir():
            path.unlink()
        for name in left:
            shutil.move(kept / name, folder / name)
        shutil.rmtree(kept)


def _used(folder):
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.iterdir())


@contextmanager
def broken_disk(folder):
    """The disk doesn't take what was written: EIO."""

    def broken(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").readlink().parent == folder:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segexp.functional.files.os.fsync", broken)
        yield


@contextmanager
def no_right(folder):
    """The folder of checkpoints may not be written any more, by a user who isn't root."""
    run = folder.parent
    for path in [run, *run.rglob("*")]:
        os.chown(path, 65534, 65534)
    os.chown(folder, 0, 0)
    folder.chmod(0o555)
    user = os.geteuid()
    os.seteuid(65534 if user == 0 else user)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o755)
