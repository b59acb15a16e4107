"""Starting the processes of jobs: forked off a warm interpreter, or fresh where that can't be had."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from segexp.allow import allowed
from segexp.errors import ConfigError
from segexp.sweeps.forks import ForkedProcess, ForkError, ForkServer, ServerGoneError, can_fork
from segexp.sweeps.jobs import Job
from segexp.sweeps.processes import FreshProcess, Process

SPAWNS = ("auto", "fork", "fresh")
SERVERS = 2  # how many fork servers are tried


class Starter:
    """Starts processes; entered for as long as they run.

    A server that dies is started once more; where it can't fork, or has died twice, interpreters are fresh from then on.

    Args:
        spawn: one of `SPAWNS`.
        several: is there more than one job to start? For one, a warm interpreter saves nothing.
        grace: seconds that running jobs have to save their state when this process dies.
        log: the file for what a fork server itself says.
        note: called with a line for the user.

    Raises:
        ConfigError: `spawn=fork`, and this system has no fork server.
    """

    detaches = False
    pause = inf

    def __init__(self, spawn: str, *, several: bool, grace: float, log: Path, note: Callable[[str], None]) -> None:
        if spawn == "fork" and not can_fork():
            raise ConfigError("the fork server needs Linux 5.3", where="launcher.spawn=fork", fix="launcher.spawn=auto")
        self.forks = spawn == "fork" or (spawn == "auto" and several and can_fork())
        self.grace, self.log, self.note = grace, log, note
        self.server: ForkServer | None = None
        self.servers = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._next_server()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    @property
    def ready(self) -> bool:
        """Would a start begin at once?"""
        return self.server is None or self.server.ready

    @property
    def news(self) -> bool:
        """Was the end of a child told since `hush`? Its message has been read then: nothing will become readable for it."""
        return self.server is not None and self.server.news

    def hush(self) -> None:
        """What has been told is known."""
        if self.server:
            self.server.news = False

    def fileno(self) -> int | None:
        """What becomes readable when there is news for `receive`; None where there is never any."""
        return self.server.fileno() if self.server else None

    def receive(self) -> None:
        """Take in what the fork server says; replaces it if it has died."""
        if self.server:
            self.server.receive()
            if self.server.gone:
                self._next_server("the fork server has died")

    def start(self, document: Mapping[str, Any], output: Path, job: Job | None = None) -> Process:
        """Start a job; `document` and `output` as in `FreshProcess`, what the command line allows is added."""
        document = {**document, "allow": allowed()}
        while self.server:
            try:
                return self.server.start(document, output)
            except ServerGoneError as error:
                self._next_server(error.what)
            except ForkError as error:
                self.forks = False
                self._next_server(error.what)
        return FreshProcess(document, output)

    def flush(self) -> None:
        """Everything has been started."""

    def farewell(self) -> str:
        """Nothing outlives this process."""
        return ""

    def _next_server(self, why: str = "") -> None:
        """Another server, if one may be tried; the old one stays for the children that it still has."""
        self.server = None
        if self.forks and self.servers < SERVERS:
            self.servers += 1
            self.note(f"{why}: starting another" if why else "starting an interpreter to fork the jobs off: it imports torch once for all")
            self.server = self._stack.enter_context(ForkServer(grace=self.grace, output=self.log))
        elif why:
            self.note(f"{why}: each job starts in a fresh interpreter, which takes some seconds")


def lost(process: Process) -> bool:
    """Has the process lost its fork server, so that nobody will learn how it ended?"""
    return isinstance(process, ForkedProcess) and process.server.gone
