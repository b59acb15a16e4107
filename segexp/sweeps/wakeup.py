"""Signals as something that `select` can wait for: the end of a child, and the wish to stop."""

from __future__ import annotations

import signal
import socket
from types import FrameType, TracebackType
from typing import Any, Self

from segexp.functional.signals import STOPPING


class Wakeup:
    """Entered, it takes the signals of the process, which must be in its main thread; left, it puts the handlers back."""

    def __init__(self) -> None:
        self.stops: list[str] = []  # the signals that asked to stop, in their order

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before: dict[int, Any] = {number: signal.signal(number, self._note) for number in (*STOPPING, signal.SIGCHLD)}
        self._descriptor = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        signal.set_wakeup_fd(self._descriptor)
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._reader.close()
        self._writer.close()

    def fileno(self) -> int:
        return self._reader.fileno()

    def drain(self) -> None:
        """Make it wait for the next signal."""
        try:
            while self._reader.recv(4096):
                pass
        except BlockingIOError:
            return

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.stops.append(signal.Signals(number).name)
