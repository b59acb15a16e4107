"""The first rank and those that follow it: it starts what nobody has started, all meet, and all leave together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from segexp.allow import allowed
from segexp.errors import RankError, SegexpError, StoppedError
from segexp.functional.interpreters import interpreter
from segexp.ranks.layout import LOOPBACK, MINE, Layout
from segexp.ranks.roster import NEWS, Roster, Trouble

CHILD = "segexp.ranks.child"
LEAVING, FAILING = 20.0, 5.0  # seconds for the ranks of this machine to leave at the end; where this one stops or fails
LATE = 120.0  # and for those that something else has started, and that haven't come yet


class Company:
    """The first rank's view of the others; of a run of one rank there is nothing to see. Entered for as long as a run is made.

    Args:
        mine: the layout; rank 0.
        run: the run's id.
    """

    def __init__(self, mine: Layout, run: str) -> None:
        self.mine, self.run = mine, run
        self.children: dict[int, subprocess.Popen[bytes]] = {}
        self.lost: Callable[[SegexpError], None] = lambda error: None  # writes down how the run ended, where this process is stuck
        self.trouble = Trouble(self._stuck)
        self.roster: Roster | None = None
        self.store: Any = None
        self.before: dict[str, str | None] = {}

    def __enter__(self) -> Self:
        if self.mine.world > 1:
            self.roster = Roster(self.mine.address, self.mine.world, self.run, self.trouble, self._ending)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.roster is None:
            return
        self.dismiss(error)
        self.roster.close(wait=0.0 if self.mine.started == "segexp" else LATE)
        self._see_off(LEAVING if error is None else FAILING)
        _part()
        restore(self.before)
        self.store = None

    def start(self, document: Mapping[str, Any], folder: Path, **word: Any) -> None:
        """Start the ranks of this machine that nothing else has started, and tell all how the run begins.

        Args:
            document: what `segexp.ranks.child` reads, for those that are started here.
            folder: of the run: their logs go there.
            word: what all are told.
        """
        if self.roster is None:
            return
        meeting = {} if self.mine.started == "torchrun" else self._open_store()
        self.before = set_environment(self.mine, meeting)
        self.roster.go(**word, folder=str(folder), meeting=meeting)
        if self.mine.started == "segexp":
            for rank in range(1, self.mine.world):
                self.children[rank] = self._child(rank, document, folder / f"log-rank-{rank}.txt")

    def gather(self, stop: Callable[[], None]) -> None:
        """Wait until all are there.

        Args:
            stop: called now and then; it raises where the run is to stop.

        Raises:
            RankError, SegexpError: one isn't, or has failed.
        """
        if self.roster is not None:
            self.roster.gather(look=lambda: (stop(), self._look()))  # a stop may be why one has ended

    def dismiss(self, error: BaseException | None) -> None:
        """Let the others leave, as soon as it is known how the run ends; the second time it is known already.

        Args:
            error: for which it does.
        """
        if self.roster is not None:
            self.roster.end(_told(error))

    # ------------------------------------------------------------------------------------------ the ranks of this machine

    def _child(self, rank: int, document: Mapping[str, Any], log: Path) -> subprocess.Popen[bytes]:
        assert self.roster is not None
        environment = os.environ | {MINE: f"{rank} {LOOPBACK}:{self.roster.port}"}
        with tempfile.TemporaryFile() as text, log.open("ab") as output:
            text.write(json.dumps({**document, "allow": allowed()}).encode())
            text.seek(0)
            return subprocess.Popen(interpreter(CHILD, str(os.getpid())), stdin=text, stdout=output, stderr=output, env=environment)

    def _look(self) -> None:
        for rank, child in self.children.items():
            if (code := child.poll()) is not None and rank not in (self.roster.lines if self.roster else ()):
                raise RankError(f"rank {rank} ended before it joined: {_how(code)}", where=f"log-rank-{rank}.txt", fix="see its last lines")

    def _ending(self, rank: int) -> str:
        """How a rank of this machine ended, where that is known: ` (SIGKILL)`."""
        if rank not in self.children:
            return ""
        with suppress(subprocess.TimeoutExpired):
            return f" ({_how(self.children[rank].wait(2))})"
        return ""

    def _see_off(self, seconds: float) -> None:
        """Wait for the others to leave, and end those that don't."""
        until = time.monotonic() + seconds
        for child in self.children.values():
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.1, until - time.monotonic()))
        self._kill()

    def _kill(self) -> None:
        for child in self.children.values():
            if child.poll() is None:
                child.kill()
                child.wait()

    def _stuck(self, error: SegexpError) -> None:
        """This process waits for a rank that is gone, and nothing wakes it."""
        with suppress(Exception):
            self.lost(error)
        with suppress(Exception):
            self._kill()
        print(error.line(), file=sys.stderr, flush=True)
        os._exit(error.exit_code)

    def _open_store(self) -> dict[str, str]:
        """The place where process groups meet, at a port of its own; on one machine only that machine can reach it."""
        from torch.distributed import TCPStore

        alone = self.mine.world == self.mine.local
        host = LOOPBACK if alone else self.mine.address[0]
        door = socket.create_server((LOOPBACK if alone else "", 0))
        port = door.getsockname()[1]
        self.store = TCPStore(host, port, is_master=True, wait_for_workers=False, master_listen_fd=door.detach())
        return {"MASTER_ADDR": host, "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}


@contextmanager
def together(trouble: Trouble) -> Iterator[None]:
    """What fails because another rank is gone fails with the reason for which it is.

    Raises:
        SegexpError: of this rank or of the other one.
    """
    try:
        yield
    except (SegexpError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if _distributed() and (known := trouble.within(NEWS)):
            raise known from error
        raise
    finally:
        trouble.over = True  # it waits for nobody any more, however long it takes to write down how it ended


def set_environment(mine: Layout, meeting: Mapping[str, str]) -> dict[str, str | None]:
    """Set what torch reads of ranks; returns what was there."""
    names = {"RANK": mine.rank, "WORLD_SIZE": mine.world, "LOCAL_RANK": mine.local_rank, "LOCAL_WORLD_SIZE": mine.local, **meeting}
    if mine.world == mine.local and sys.platform == "linux":
        names.setdefault("GLOO_SOCKET_IFNAME", os.environ.get("GLOO_SOCKET_IFNAME", "lo"))
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: str(value) for name, value in names.items()})
    return before


def restore(before: Mapping[str, str | None]) -> None:
    """Put variables back."""
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _part() -> None:
    """Leave the process group; where a rank is gone, it may fail or hang, and nobody needs it."""
    if _distributed():
        import torch.distributed as dist

        leaving = threading.Thread(target=dist.destroy_process_group, daemon=True)
        leaving.start()
        leaving.join(5)


def _distributed() -> bool:
    dist = sys.modules.get("torch.distributed")
    return dist is not None and dist.is_available() and dist.is_initialized()


def _told(error: BaseException | None) -> SegexpError | None:
    """What the others are told of this rank's error."""
    if error is None:
        return None
    if isinstance(error, KeyboardInterrupt):
        return StoppedError("rank 0 was stopped by the keyboard", fix="the same command goes on from here")
    return error if isinstance(error, SegexpError) else RankError(f"rank 0 failed: {type(error).__name__}: {error}", fix="see its log")


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"
