"""One process has a run: a lock of the operating system, which a dead holder can't keep.

The file says who holds it. It is never deleted, because a process that waits on the old file and one that makes a new file
would both win. The lock lives with the open file, so a forked child would share it: children close their copy.

On a network file system this is as good as its `flock`; a mount with `nolock` makes it local to the machine.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segexp.errors import ConfigError, HeldError

PATIENCE = 0.2  # seconds for a winner to write its name


class Lock:
    """The right to change a run's directory, held by at most one process.

    Args:
        path: the lock file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = -1

    def take(self) -> dict[str, Any] | None:
        """Take the lock.

        Returns:
            Who held it before and died without leaving; None after a clean end.

        Raises:
            HeldError: another process has it; says which.
            ConfigError: the file can't be opened.
        """
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            fix = "get the right to write there, or paths.outputs=<another folder>"
            raise ConfigError(f"the run's lock can't be opened: {error.strerror}", where=str(self.path), fix=fix) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise self._held() from None
        except OSError:
            os.close(file)
            raise
        before, self.file = self.holder(), file
        _taken.add(self)
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(_me()).encode(), 0)
        return before

    def leave(self) -> None:
        """Give the lock back; without effect if it isn't held."""
        if self.file >= 0:
            os.ftruncate(self.file, 0)
            fcntl.flock(self.file, fcntl.LOCK_UN)
            self.forget()

    def holder(self) -> dict[str, Any] | None:
        """Who has the lock, or had it and died: host, pid, boot id, time; None where nobody is named."""
        try:
            return json.loads(self.path.read_bytes())
        except (OSError, ValueError):  # absent, empty, or half written
            return None

    def forget(self) -> None:
        """Close this process's copy of the file and leave the lock to the one who took it."""
        if self.file >= 0:
            with suppress(OSError):
                os.close(self.file)
            self.file = -1
            _taken.discard(self)

    def _held(self) -> HeldError:
        until = time.monotonic() + PATIENCE
        while ((who := self.holder()) is None or _dead(who)) and time.monotonic() < until:
            time.sleep(0.01)
        if who and _dead(who):  # the winner is slow: no name rather than a wrong one, and a wrong process to kill
            who = None
        name = describe(who) if who else "another process"
        fix = f"wait for it, or stop it: kill {who['pid']}" if who and who["host"] == socket.gethostname() else "wait for it"
        return HeldError(f"{name} has this run", where=str(self.path.parent), fix=fix)


_taken: set[Lock] = set()
os.register_at_fork(after_in_child=lambda: [lock.forget() for lock in list(_taken)])


@contextmanager
def held(path: Path) -> Iterator[dict[str, Any] | None]:
    """Hold a lock; gives who died holding it before, if somebody did.

    Raises:
        HeldError: another process has it.
    """
    lock = Lock(path)
    before = lock.take()
    try:
        yield before
    finally:
        lock.leave()


def _dead(who: dict[str, Any]) -> bool:
    """Is this certainly a holder of before, whose name the winner hasn't replaced yet?"""
    if (who["host"], who["boot"]) != (socket.gethostname(), _boot()):
        return False
    try:
        os.kill(who["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def describe(who: dict[str, Any]) -> str:
    """A holder in words."""
    return f"process {who['pid']} on {who['host']} (since {who['time']})"


def _me() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "boot": _boot(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _boot() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        return None


def is_held(lock: Path) -> bool:
    """Has a process this run? A look that is over at once: the lock is shared for an instant, and its file left as it is."""
    try:
        file = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False
