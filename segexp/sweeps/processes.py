"""Processes of jobs: what a driver does with one, and those that begin in a new interpreter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from segexp.functional.interpreters import interpreter

CHILD = "segexp.sweeps.child"  # the module that is run


class Process(Protocol):
    """A process that the driver looks after."""

    @property
    def why(self) -> str | None:
        """Why others than the driver ended it, where that is known."""
        ...

    @property
    def waits(self) -> bool:
        """Has it yet to begin?"""
        ...

    def poll(self) -> int | None:
        """The exit code once it has ended, negative for a signal; what was left of its group is gone then."""
        ...

    def kill(self, number: int) -> None:
        """Send a signal to the process alone."""
        ...

    def destroy(self) -> None:
        """End it at once, and whatever it has started."""
        ...


class FreshProcess:
    """A job in a new interpreter.

    It must be made in the main thread: the system tells a child of the end of the thread that made it.

    Args:
        document: as in `segexp.sweeps.child`.
        output: the file to which stdout and stderr are appended.
    """

    why: str | None = None
    waits = False

    def __init__(self, document: Mapping[str, Any], output: Path) -> None:
        command = interpreter(CHILD, str(os.getpid()))
        with tempfile.TemporaryFile() as text, output.open("ab") as log:  # a file takes any length without waiting for a reader
            text.write(json.dumps(document).encode())
            text.seek(0)
            environment = os.environ | document.get("env", {})
            self._popen = subprocess.Popen(command, stdin=text, stdout=log, stderr=log, env=environment, start_new_session=True)
        self.pid = self._popen.pid

    def poll(self) -> int | None:
        if self._popen.returncode is None and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            kill_group(self.pid)  # before its number can be another's
        return self._popen.poll()

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: it still runs after so many seconds.
        """
        self._popen.wait(timeout)
        kill_group(self.pid)
        return self._popen.returncode

    def kill(self, number: int) -> None:
        self._popen.send_signal(number)

    def destroy(self) -> None:
        kill_group(self.pid)


def kill_group(pid: int) -> None:
    """End whatever a leader has left behind: loader workers, and what they started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
