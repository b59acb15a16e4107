"""The driver's side of the fork server: processes that begin in milliseconds, because all is imported already."""

from __future__ import annotations

import itertools
import json
import math
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from segexp.errors import SegexpError
from segexp.functional.interpreters import interpreter
from segexp.sweeps.processes import kill_group

PATIENCE = 300.0  # seconds for the server to import what it imports, and to answer
SERVER = "segexp.sweeps.server"  # the module that is run
UNKNOWN = 256  # no process ends with this


class ForkError(SegexpError):
    """The fork server can't start this job; a fresh interpreter can."""

    code = "fork"


def can_fork() -> bool:
    """Does this system have what the fork server needs?"""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):  # not Linux, or before 5.3
        return False
    return True


class ServerGoneError(ForkError):
    """The fork server has died; its children save their state and stop."""


class ForkServer:
    """A `segexp.sweeps.server`, which lives as long as this object is entered.

    Args:
        grace: seconds that running children have to save their state when this process dies or leaves.
        output: the file to which the server's own stdout and stderr are appended; this process's own unless given.

    Raises:
        ServerGoneError: from any method, once the server has died.
    """

    def __init__(self, *, grace: float = 60.0, output: Path | None = None) -> None:
        self.grace, self.output = grace, output
        self.ready = self.gone = False
        self.news = False  # has any child ended since somebody set this to False?
        self._children: dict[int, ForkedProcess] = {}
        self._answers: dict[int, dict[str, Any]] = {}
        self._early: dict[int, int] = {}  # ends that came before their child was known here
        self._numbers = itertools.count()
        self._text = b""

    def __enter__(self) -> Self:
        self._socket, theirs = socket.socketpair()
        command = interpreter(SERVER, str(theirs.fileno()), str(self.grace))
        environment = os.environ | {"OMP_NUM_THREADS": "1"}  # a second thread of OpenBLAS would make forks unsafe
        log = self.output.open("ab") if self.output else None
        with theirs:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        if log:
            log.close()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._socket.close()  # which tells the server to leave
        self.gone = True
        try:
            self._popen.wait(self.grace + 10 if self._children else 10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._popen.pid

    def fileno(self) -> int:
        """What becomes readable when `receive` has something to do."""
        return self._socket.fileno()

    def start(self, document: Mapping[str, Any], output: Path) -> ForkedProcess:
        """Start a job; waits until the server is ready.

        Args:
            document: as in `segexp.sweeps.child`; `threads` must be given.
            output: the file to which stdout and stderr are appended.

        Raises:
            ForkError: the server can't fork safely; says why.
            ServerGoneError: it has died, or doesn't answer.
        """
        number = next(self._numbers)
        self._send({"start": number, "document": dict(document), "output": str(output.absolute())})
        until = time.monotonic() + PATIENCE
        while number not in self._answers:
            self.receive(until - time.monotonic())
            if time.monotonic() > until or self.gone:
                raise ServerGoneError("the fork server doesn't answer", where=f"process {self.pid}", fix="launcher.spawn=fresh")
        answer = self._answers.pop(number)
        if "why" in answer:
            raise ForkError(f"the fork server can't fork: {answer['why']}", where=f"process {self.pid}", fix="launcher.spawn=fresh")
        child = ForkedProcess(self, answer["pid"], self._early.pop(answer["pid"], None))
        if child.code is None:
            self._children[child.pid] = child
        return child

    def receive(self, timeout: float = 0.0) -> None:
        """Take in what the server says within so many seconds, at least what is there; notes if it has gone."""
        if self.gone or not select.select([self._socket], [], [], max(0.0, timeout))[0]:
            return
        try:
            found = self._socket.recv(2**16)
        except ConnectionError:
            found = b""
        self.gone = not found
        *lines, self._text = (self._text + found).split(b"\n")
        for line in lines:
            self._note(json.loads(line))

    def _note(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.ready = True
        elif "ended" in message:
            self.news = True
            if child := self._children.pop(message["ended"], None):
                child.end(message["status"])
            else:
                self._early[message["ended"]] = message["status"]
        else:
            self._answers[message.get("started", message.get("refused"))] = message

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except ConnectionError as error:
            self.gone = True
            raise ServerGoneError("the fork server has died", where=f"process {self.pid}", fix="launcher.spawn=fresh") from error


class ForkedProcess:
    """A child of the fork server.

    Args:
        server: what tells of its end.
        pid: its number.
        code: how it ended, if it has already.
    """

    why: str | None = None
    waits = False

    def __init__(self, server: ForkServer, pid: int, code: int | None = None) -> None:
        self.server, self.pid, self.code = server, pid, code
        try:
            self._handle = os.pidfd_open(pid)  # which never means another process, unlike a number
        except ProcessLookupError:  # ended and reaped
            self._handle = -1

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs.

        Of a child whose server has died nobody learns the code: after its end it is `UNKNOWN`.
        """
        self.server.receive()
        if self.code is None and self.server.gone and self._ended(0):
            kill_group(self.pid)
            self.end(UNKNOWN)
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, as from `poll`.

        Raises:
            subprocess.TimeoutExpired: it still runs after so many seconds.
        """
        until = math.inf if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = min(until - time.monotonic(), PATIENCE)
            if left <= 0:
                raise subprocess.TimeoutExpired(f"child {self.pid}", timeout or 0.0)
            if self.server.gone:
                self._ended(left)
            else:
                self.server.receive(left)
        return code

    def kill(self, number: int) -> None:
        """Send a signal; without effect after its end."""
        if self._handle >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def destroy(self) -> None:
        """End it and its group."""
        kill_group(self.pid)

    def end(self, code: int) -> None:
        """Note how it ended."""
        self.code = code
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _ended(self, timeout: float) -> bool:
        return self._handle < 0 or bool(select.select([self._handle], [], [], timeout)[0])
