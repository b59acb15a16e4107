"""What runs in a task of Ray: it looks after the process of a job, and is told what to do with it by a file.

Ray's own way to end a task throws away how it ended; a file in the sweep's folder, which all machines see, doesn't.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

LOOK = 0.2  # seconds between two looks
KILLED = -signal.SIGKILL


def supervise(document: Mapping[str, Any], output: str, orders: str) -> int:
    """Run a document in a process of its own; returns its exit code, negative for a signal.

    Args:
        document: as in `segexp.sweeps.child`, and `folder`, in which the driver works.
        output: the file to which stdout and stderr are appended.
        orders: the file with the numbers of signals to send, a line each.
    """
    from segexp.errors import StoppedError
    from segexp.sweeps.processes import FreshProcess

    file, done = Path(orders), 0
    if waiting := ordered(file):  # it was told to stop before there was anything to stop
        return KILLED if signal.SIGKILL in waiting else StoppedError.exit_code
    os.chdir(document["folder"])  # paths of the config may be relative
    process = FreshProcess(document, Path(output))
    try:
        while (code := process.poll()) is None:
            for number in ordered(file)[done:]:
                done += 1
                process.destroy() if number == signal.SIGKILL else process.kill(number)
            time.sleep(LOOK)
        return code
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill(signal.SIGTERM)
        raise


def ordered(file: Path) -> list[int]:
    """The numbers in a file of orders; none where there is none."""
    with suppress(OSError, ValueError):
        return [int(word) for word in file.read_text(encoding="ascii").split()]
    return []


def order(file: Path, number: int) -> None:
    """Write another number."""
    from segexp.functional.files import write_atomic

    write_atomic(file, "".join(f"{one}\n" for one in [*ordered(file), number]))
