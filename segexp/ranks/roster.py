"""Who takes part in a run: the first rank keeps a connection to each other one, so that no rank waits for one that is gone.

A rank that fails says why before it leaves; of one that dies, the closed connection tells. The others know the reason within a
moment, whatever they wait for: their collective fails of it, or they are ended after `GRACE` seconds.

Lines of JSON over TCP: {"rank", "pid", "host", "run"} from a rank that joins; {"go": ...} to all; {"error": {...}} from one that
fails; {"trouble": {...}} to all; {"bye": true} either way, before a connection is closed in peace.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TextIO

from segexp.errors import RankError, SegexpError, by_code
from segexp.ranks.layout import LOOPBACK

GRACE = 20.0  # seconds between a rank's death and the end of another that still waits for it
PATIENCE = 600.0  # seconds for all ranks to join: machines are slow to start
NEWS = 5.0  # seconds within which the reason of a failed collective is known


class Trouble:
    """Why the ranks can't go on together: known to this rank from some moment on.

    Args:
        stuck: called with it where this rank hasn't left `grace` seconds later; it ends the process.
        grace: seconds.
    """

    def __init__(self, stuck: Callable[[SegexpError], None], grace: float = GRACE) -> None:
        self.stuck, self.grace = stuck, grace
        self.error: SegexpError | None = None
        self.over = False  # this rank has left, or everybody has in peace
        self._known = threading.Event()

    def tell(self, error: SegexpError) -> None:
        """The first reason counts."""
        if self.error is None and not self.over:
            self.error = error
            self._known.set()
            timer = threading.Timer(self.grace, self._end)
            timer.daemon = True
            timer.start()

    def within(self, seconds: float) -> SegexpError | None:
        """The reason, if there is one by then."""
        self._known.wait(seconds)
        return self.error

    def _end(self) -> None:
        if self.error is not None and not self.over:
            self.stuck(self.error)


class Line:
    """One end of a connection between two ranks."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):  # a machine that is gone says nothing
            if hasattr(socket, option):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self.connection = connection
        self.reader: TextIO = connection.makefile("r", encoding="utf-8")

    def say(self, **message: Any) -> None:
        """Send a message; nobody listens where the other end is gone."""
        with suppress(OSError):
            self.connection.sendall(json.dumps(message).encode() + b"\n")

    def hear(self) -> dict[str, Any] | None:
        """The next message; None once the connection is closed."""
        try:
            text = self.reader.readline(2**20)
            return json.loads(text) if text.endswith("\n") else None
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


class Roster:
    """The first rank's list of the others.

    Args:
        address: to listen at; port 0 for a free one. A host that isn't this machine's loopback: all of its addresses.
        world: the number of ranks.
        run: the run's id; a rank of another run is turned away.
        trouble: told of what happens.
        ending: how the process of a rank ended, in words; empty where nobody knows.
    """

    def __init__(
        self, address: tuple[str, int], world: int, run: str, trouble: Trouble, ending: Callable[[int], str] = lambda rank: ""
    ) -> None:
        self.world, self.run, self.trouble, self.ending = world, run, trouble, ending
        host = LOOPBACK if address[0] == LOOPBACK else ""
        try:
            self.socket = socket.create_server((host, address[1]), backlog=world, reuse_port=False)
        except OSError as error:
            raise RankError(
                f"the ranks can't meet at port {address[1]}: {error.strerror}", where=address[0], fix="start it again"
            ) from error
        self.port: int = self.socket.getsockname()[1]
        self.lines: dict[int, Line] = {}
        self.names: dict[int, str] = {}
        self.word: dict[str, Any] | None = None
        self.last: list[dict[str, Any]] = []  # what a rank hears at the end
        self._change = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def go(self, **word: Any) -> None:
        """Tell the ranks that are there, and those that come later, how the run starts."""
        with self._change:
            self.word = word
            for line in self.lines.values():
                line.say(go=word)

    def gather(self, patience: float = PATIENCE, look: Callable[[], object] = lambda: None) -> None:
        """Wait until all ranks are there.

        Args:
            patience: seconds.
            look: called twice a second; it may raise.

        Raises:
            RankError: some haven't come.
            SegexpError: of a rank that has failed meanwhile.
        """
        until = time.monotonic() + patience
        while missing := self._missing():
            if self.trouble.error:
                raise self.trouble.error
            look()
            if time.monotonic() > until:
                what = f"rank {', '.join(map(str, missing))} of {self.world} hasn't joined within {patience:.0f} s"
                raise RankError(what, where=f"port {self.port}", fix="see the logs of those ranks; the same command starts again")
            with self._change:
                self._change.wait(0.5)

    def end(self, error: SegexpError | None = None) -> None:
        """Let all ranks leave, those that are there and those that come later: in peace, or because this one has failed.

        Args:
            error: of this one; the first end is the one that counts.
        """
        self.trouble.over = True
        with self._change:
            if self.last:
                return
            self.last = [*([] if error is None else [{"trouble": error.as_dict()}]), {"bye": True}]
            for line in self.lines.values():
                self._see_off(line)

    def close(self, wait: float = 0.0) -> None:
        """Listen no more.

        Args:
            wait: seconds for ranks that haven't come yet, so that they don't look for this one when it is gone.
        """
        with self._change:
            self._change.wait_for(lambda: not self._missing(), wait)
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _see_off(self, line: Line) -> None:
        for message in self.last:
            line.say(**message)

    def _missing(self) -> list[int]:
        return sorted(set(range(1, self.world)) - self.lines.keys())

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(Line(connection),), daemon=True).start()

    def _serve(self, line: Line) -> None:
        """Hear one rank until it leaves."""
        hello = line.hear() or {}
        rank = hello.get("rank")
        if hello.get("run") != self.run or rank not in self._missing():
            if "run" in hello:
                self._turn_away(line, rank)
            line.close()
            return
        with self._change:
            self.lines[rank], self.names[rank] = line, f"rank {rank} (process {hello.get('pid')} on {hello.get('host')})"
            if self.word is not None:
                line.say(go=self.word)
            self._see_off(line)
            self._change.notify_all()
        peace = False
        while message := line.hear():
            peace = peace or bool(message.get("bye"))
            if error := message.get("error"):
                self._tell(_of_rank(error, rank))
        if not peace and not self.trouble.over:
            fix = "the same command goes on from the last checkpoint"
            self._tell(RankError(f"{self.names[rank]} has died{self.ending(rank)}", where=f"1 of {self.world} ranks", fix=fix))

    def _turn_away(self, line: Line, rank: Any) -> None:
        what = f"rank 0 doesn't wait for this rank {rank}: it has another config, or somebody else's run is at this port"
        line.say(trouble=RankError(what, where=f"port {self.port}", fix="give all ranks the same command").as_dict())
        line.say(bye=True)

    def _tell(self, error: SegexpError) -> None:
        self.trouble.tell(error)
        with self._change:
            for line in self.lines.values():
                line.say(trouble=error.as_dict())


class Member:
    """Another rank's end of the roster.

    Args:
        address: of the first rank.
        rank: this one.
        run: the run's id.
        trouble: told of what happens.
        patience: seconds for the first rank to be there.

    Raises:
        RankError: it isn't.
    """

    def __init__(self, address: tuple[str, int], rank: int, run: str, trouble: Trouble, patience: float = PATIENCE) -> None:
        self.trouble, self.rank = trouble, rank
        self.line = Line(_connected(address, patience))
        self.line.say(rank=rank, pid=os.getpid(), host=socket.gethostname(), run=run)
        self._word: dict[str, Any] | None = None
        self._heard = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def go(self) -> dict[str, Any] | None:
        """How the run starts; None where the first rank has ended before."""
        self._heard.wait()
        return self._word

    def leave(self, error: SegexpError | None = None) -> None:
        """Say that this rank is through, or why it has failed."""
        known, self.trouble.over = self.trouble.error, True
        if error is not None and known is None:
            self.line.say(error=error.as_dict())
        self.line.say(bye=True)
        self.line.close()

    def _listen(self) -> None:
        peace = False
        while message := self.line.hear():
            if "go" in message:
                self._word = message["go"]
                self._heard.set()
            if error := message.get("trouble"):
                self.trouble.tell(error_of(error))
            if message.get("bye"):
                peace = True
                self._heard.set()
        if not peace:
            self.trouble.tell(
                RankError("rank 0 has died", where=f"rank {self.rank}", fix="the same command goes on from the last checkpoint")
            )
        self._heard.set()


def error_of(record: Mapping[str, Any]) -> SegexpError:
    """An error from what was said of it."""
    given = {name: str(record.get(name) or "") for name in ("what", "where", "fix")}
    return by_code(str(record.get("code")))(given["what"], where=given["where"], fix=given["fix"])


def _of_rank(record: Mapping[str, Any], rank: int) -> SegexpError:
    error = error_of(record)
    return type(error)(error.what, where=", ".join(part for part in (error.where, f"rank {rank}") if part), fix=error.fix)


def _connected(address: tuple[str, int], patience: float) -> socket.socket:
    until = time.monotonic() + patience
    while True:
        try:
            connection = socket.create_connection(address, timeout=10)
            connection.settimeout(None)
            return connection
        except OSError as error:
            if time.monotonic() > until:
                what = f"rank 0 can't be reached within {patience:.0f} s: {error.strerror or error}"
                raise RankError(what, where=f"{address[0]}:{address[1]}", fix="see its log; the same command starts again") from error
            time.sleep(0.2)
