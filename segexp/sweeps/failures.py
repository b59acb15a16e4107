"""How a process ends when its command fails: one line for a person, and an exit code."""

from __future__ import annotations

import sys
import traceback

from segexp.errors import SegexpError, StoppedError


def failed(error: BaseException, *, show_traceback: bool = False) -> int:
    """Say of what a command failed, as the last line of stderr; returns its exit code."""
    shown = known(error)
    if show_traceback:
        traceback.print_exception(error)
    sys.stdout.flush()
    print(shown.line(), file=sys.stderr, flush=True)
    return shown.exit_code


def known(error: BaseException) -> SegexpError:
    """An error as one that a person can read."""
    if isinstance(error, SegexpError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return StoppedError("stopped by the keyboard", fix="the same command goes on from here")
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return SegexpError(said, where=_origin(error), fix="errors.traceback=true shows where it comes from")


def _origin(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "segexp" in frame.filename]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
