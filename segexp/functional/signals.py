"""Asking a process to stop: a signal sets a flag, and whoever can leave cleanly looks at it."""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import signal
import threading
from types import FrameType
from typing import Any

from segexp.errors import StoppedError

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class Stop:
    """A wish to stop, made by a signal.

    The first signal is noted; a second one ends the process at once with exit code 75. Nothing is saved in a handler.
    One that takes another's place knows of its signal, and hands its own on when it leaves. Where another rank was told of a
    signal before this one, its own is still on its way, and is no second one.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        self.awaited = False  # another rank's: that of this process may still come
        self.before: dict[int, Any] = {}
        self.pid = os.getpid()

    @property
    def number(self) -> int:
        """The signal's number; 0 before one came."""
        return int(signal.Signals[self.signal]) if self.signal else 0

    def ask(self, number: int) -> None:
        """Wish to stop as another rank does, because of its signal; the first one counts."""
        if self.signal is None:
            self.signal, self.awaited = signal.Signals(number).name, True

    def install(self) -> None:
        """Become the handler of the signals; again after somebody else has replaced it. Without effect outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in STOPPING:
            now = signal.getsignal(number)
            if now != self._note:
                self.signal = self.signal or _noted(now)
                self.before.setdefault(number, now)
                signal.signal(number, self._note)

    def restore(self) -> None:
        """Put the handlers back that were there before; a signal that is still to come must not find one that ends the process."""
        while self.before:
            number, handler = self.before.popitem()
            outer = getattr(handler, "__self__", None)
            if isinstance(outer, Stop):
                if outer.signal is None:
                    outer.signal, outer.awaited = self.signal, self.awaited
            elif self.awaited:
                continue
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def check(self, where: str) -> None:
        """Leave if a stop was asked for.

        Raises:
            StoppedError: names the signal.
        """
        if self.signal:
            raise self.error(where)

    def error(self, where: str) -> StoppedError:
        """What a stopped command ends with."""
        return StoppedError(f"stopped by {self.signal or 'request'}", where=where, fix="the same command goes on from here")

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self.pid:  # a forked child that has set no handlers of its own yet
            return
        if self.awaited:
            self.awaited = False
            return
        if self.signal is not None:
            for child in multiprocessing.active_children():
                child.kill()
            os._exit(StoppedError.exit_code)
        self.signal = signal.Signals(number).name
        os.write(2, f"\n{self.signal}: stopping after this step (once more: at once)\n".encode())


def _noted(handler: Any) -> str | None:
    """The signal that was noted by a handler, if it is one of these."""
    outer = getattr(handler, "__self__", None)
    return outer.signal if isinstance(outer, Stop) else None


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Let the system signal this process when the thread that made it ends; Linux only, elsewhere without effect."""
    try:
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, int(number), 0, 0, 0)  # PR_SET_PDEATHSIG
    except (OSError, AttributeError):
        return


@functools.cache
def kill_children_at_exit() -> None:
    """Let this process kill its helpers at its end, before `multiprocessing` asks them with SIGTERM and waits for them."""

    def kill() -> None:
        for child in multiprocessing.active_children():
            if child.daemon:
                child.kill()

    atexit.register(kill)


def calm(worker: int = 0) -> None:
    """For a helper process: signals to stop are the main process's affair; it ends us, or its death does."""
    die_with_parent()
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
