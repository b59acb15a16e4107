"""segexp reproduce <run> [paths overrides]: make a run again from its manifest, and compare the figures bit by bit.

  segexp reproduce 1a2b3c                   a directory, its id, or the first digits of it; the run must be done
  segexp reproduce 1a2b3c paths.data=<dir>  where the data are today
  segexp reproduce 1a2b3c --anyway          run it although something has changed

First whatever has changed is named, a line each: files of the code against the commit and patch of the manifest, versions of
packages, each image and label of the data by its content, the weights that it began from. If there is anything, the command ends with
exit code 1 before training (but for --anyway). Another machine is told and is no reason to end. Then the stored config runs with the
threads that the manifest has, in <outputs>/<name>/reproductions/<name>/<run>; nothing of the first run is touched.
Exit code 0: all figures, logged values and the last weights are equal to the last bit. 1: something differs; the first are told.
"""

from __future__ import annotations

from collections.abc import Sequence

from segexp.cli.arguments import split
from segexp.cli.evaluate import named_run

USAGE = "segexp reproduce <run> [paths overrides] [--anyway]"
_TOLD = 16  # differences on the screen


def run(arguments: Sequence[str]) -> int:
    """Compare, run, compare."""
    (name,), overrides, flags = split(arguments, positional=1, flags=("--anyway",), usage=USAGE)
    directory = named_run(name, overrides)
    from segexp.ledger.reproduction import DriftError, plan, reproduce

    _, folder, comparison = reproduce(directory, plan(directory, overrides), anyway=bool(flags))
    print(f"{directory.path}\n{folder}")
    if comparison.differences:
        print("\n".join(comparison.differences[:_TOLD]))
        what = "the run came out otherwise"
        raise DriftError(what, where=str(folder), fix=f"segexp diff {directory.path} {folder} shows all that differs")
    weights = " and the weights" if comparison.weights else ""
    gone = "" if comparison.weights else " (of the weights nothing can be said: there is no valid checkpoint)"
    print(f"reproduced: all {comparison.figures} figures{weights} are bit-equal{gone}")
    return 0
