"""`python -m tests.golden [--write] [task ...]`: compare the first losses of each task with those recorded, or record them anew.

Both print what has changed. Exit code 1 if something has, and it wasn't to be written.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.golden.losses import CHAINS, FOLDER, differences, found, other, read, server, write


def main(arguments: Sequence[str]) -> int:
    """Compare or write."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("tasks", nargs="*", choices=[*CHAINS, []], metavar="task", help=f"{', '.join(CHAINS)}; all unless named")
    parser.add_argument("--write", action="store_true", help="record anew")
    options = parser.parse_args(arguments)
    changed = False
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as entered:
        for task in options.tasks or CHAINS:
            now = found(task, entered, Path(folder))
            lines = compared(task, now)
            changed |= bool(lines)
            print(f"{task}: {lines[0] if lines else 'as recorded'}", *(f"  {line}" for line in lines[1:]), sep="\n", flush=True)
            if options.write:
                write(task, now)
    return int(changed and not options.write)


def compared(task: str, now: dict) -> list[str]:
    """What has changed since it was recorded: a heading and a line each; nothing if nothing has."""
    if not (FOLDER / f"{task}.json").exists():
        return ["new"]
    then = read(task)
    elsewhere, lines = other(now, then), differences(now, then)
    heading = f"{len(lines)} of 50 losses changed" if not elsewhere else f"{len(lines)} of the first 10 changed (another machine)"
    return [heading, *elsewhere, *lines] if lines or elsewhere else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
