"""The fork server with traps: a child that dies, or waits, at an exact point of its run.

A document may have, beside what `segexp.sweeps.child` reads,

- `after`: a file to wait for before anything is done;
- `trap`: `{"at": [functions, each as "module:name"], "call": n, "holding": text, "until": file}`. At the n-th call of any of
  the functions, counting those whose arguments contain the text, the process is killed, or waits for the file if one is named;
- `instead`: the function that is called with the document instead of a run.
"""

from __future__ import annotations

import functools
import os
import pkgutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segexp.sweeps import server
from segexp.sweeps.child import run

PATIENCE = 300.0  # seconds to wait for a file


def trapped(document: Mapping[str, Any]) -> int:
    """Wait, set the trap, and make the run; the exit code."""
    if "after" in document:
        wait(Path(document["after"]))
    if "trap" in document:
        Trap(**document["trap"]).set()
    return pkgutil.resolve_name(document["instead"])(document) if "instead" in document else run(document)


def wait(path: Path) -> None:
    """Wait for a file; raises TimeoutError after `PATIENCE`."""
    until = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"nobody made {path}")
        time.sleep(0.002)


class Trap:
    """What befalls a process at a certain call.

    Args:
        at: functions as `module:name`, looked up where their callers do.
        call: its number, from 1.
        holding: counts only calls whose arguments contain this text.
        until: wait for this file; None to be killed.
    """

    def __init__(self, at: Sequence[str], call: int, holding: str = "", until: str | None = None) -> None:
        self.at, self.call, self.holding, self.until = at, call, holding, until
        self.count, self.pid = 0, os.getpid()

    def set(self) -> None:
        """Put itself before the functions."""
        for name in self.at:
            module, _, path = name.partition(":")
            owner, _, attribute = path.rpartition(".")
            holder = pkgutil.resolve_name(f"{module}:{owner}" if owner else module)
            setattr(holder, attribute, self._before(getattr(holder, attribute)))

    def _before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._meet(args)
            return function(*args, **kwargs)

        return call

    def _meet(self, args: tuple[Any, ...]) -> None:
        if os.getpid() != self.pid or (self.holding and self.holding not in repr(args)):  # loader workers pass
            return
        self.count += 1
        if self.count != self.call:
            return
        if self.until is None:
            os.kill(self.pid, signal.SIGKILL)
        else:
            wait(Path(self.until))


if __name__ == "__main__":
    server.run = trapped
    server.main()
