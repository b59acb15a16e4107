"""segexp verify [folder]: is what the folder of a run, a sweep, an experiment or all outputs holds what was written?

  segexp verify                        everything in paths.outputs
  segexp verify outputs/camvid         one experiment; a sweep's folder, a run's folder or its id work, too

For each run: checkpoints are hashed, compared with their records and loaded safely; LAST and BEST name what is there; the status
fits the files; the ids of manifest, folder and config are one; each step has each metric once. For each sweep: its list against
the runs. Each fault is a line with its file, and the exit code is 1 if there is one. Nothing is changed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from segexp.cli.arguments import split
from segexp.errors import SegexpError

USAGE = "segexp verify [folder or run]"
_PACE = 5.0  # seconds between two lines of progress


def run(arguments: Sequence[str]) -> int:
    """Look at all of it; say what is wrong."""
    plain = [a for a in arguments if not a.startswith("-") and "=" not in a]
    named, overrides, _ = split(arguments, positional=min(1, len(plain)), usage=USAGE)
    from segexp.ledger.faults import Count, verified

    folder, count, found = _folder(named, overrides), Count(), 0
    for fault in verified(folder, count, _Progress()):
        found += 1
        print(fault, flush=True)
    parts = ((count.runs, "run"), (count.checkpoints, "checkpoint"), (count.sweeps, "sweep"))
    looked = ", ".join(_several(number, word) for number, word in parts)
    if found:
        raise SegexpError(f"{_several(found, 'fault')} in {looked}", where=str(folder), fix="see the lines above")
    print(f"{looked}: no fault in {folder}")
    return 0


def _several(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


class _Progress:
    """Says on stderr how far it is, now and then."""

    def __init__(self) -> None:
        self.told = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() - self.told > _PACE:
            self.told = time.monotonic()
            print(f"{done} of {total} runs", file=sys.stderr, flush=True)


def _folder(named: Sequence[str], overrides: Sequence[str]) -> Path:
    if named and Path(named[0]).exists():
        return Path(named[0])
    if named:
        from segexp.cli.evaluate import named_run

        return named_run(named[0], overrides).path
    from segexp.config import outputs_dir

    return outputs_dir(overrides)
