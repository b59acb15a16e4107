"""What a payload would do if it worked, seen by the interpreter itself: programs, connections, imports, files elsewhere."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path

CANARY = "segexp_canary"  # a module that nothing but a payload imports
PROGRAMS = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.spawn")
OTHERS = ("socket.connect", "socket.getaddrinfo", "socket.bind", "urllib.Request", "shutil.rmtree", "ctypes.dlopen", "webbrowser.open")
HARMLESS = ("git", "nvidia-smi", "ldconfig", "uname", "lscpu")  # what a run or a library asks about the machine
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_seen: list[str] | None = None
_home = ""


def _hook(event, arguments):
    if _seen is None:
        return
    program = event in PROGRAMS and Path(str(arguments[0])).name not in HARMLESS
    if program or (event in OTHERS and not _of_a_library(event, str(arguments[0]))):
        _seen.append(f"{event} {arguments[:2]}")
    elif event == "import" and str(arguments[0]).startswith(CANARY):
        _seen.append(f"import {arguments[0]}")
    elif event == "open" and isinstance(arguments[0], str) and _writes(arguments) and _elsewhere(arguments[0]):
        _seen.append(f"open {arguments[0]} to write")


def _of_a_library(event, what):
    """A shared library of the system or of an installed package, a scratch folder that goes."""
    if event == "ctypes.dlopen":
        return "/" not in what or what.startswith(sys.prefix)
    return event == "shutil.rmtree" and not _elsewhere(what)


def _writes(arguments):
    mode, flags = arguments[1], arguments[2] or 0
    return any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & WRITING)


def _elsewhere(path):
    """Outside of the test's folder; the caches and devices of the system are nobody's."""
    real = os.path.realpath(path)
    return not real.startswith((_home, "/dev/", "/proc/")) and "__pycache__" not in real and "/.cache/" not in real


sys.addaudithook(_hook)


@contextmanager
def watched(folder):
    """Yields the list of effects, which is filled as they happen.

    Args:
        folder: where writing is no effect, but for a file `marker` in it, which must not be there at the end.
    """
    global _seen, _home
    _home, _seen = os.path.realpath(folder), []
    try:
        yield _seen
    finally:
        found, _seen = _seen, None
        if (Path(folder) / "marker").exists():
            found.append("the marker is there")
