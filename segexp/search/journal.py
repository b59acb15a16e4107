"""The lock of a study's journal: the operating system's, so that nothing is left of it when its holder is killed.

Optuna's own is a file: after a kill within a write, all others wait half a minute for it.
"""

from __future__ import annotations

import fcntl
import os

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend


class SystemLock:
    """A lock in the shape that `JournalFileBackend` takes.

    Args:
        path: of a file beside the journal, which is never deleted.
    """

    def __init__(self, path: str) -> None:
        self.path, self.file = path, -1

    def acquire(self) -> bool:
        """Wait for the lock, and take it."""
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self.file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Give it back."""
        os.close(self.file)
        self.file = -1


def journal(path: str) -> JournalStorage:
    """The storage in a journal file."""
    return JournalStorage(JournalFileBackend(path, lock_obj=SystemLock(f"{path}.lock")))  # ty: ignore[invalid-argument-type]
