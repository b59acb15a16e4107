"""segexp check [-m] [overrides]: everything that can be known to be wrong before a run; nothing is trained or written.

  segexp check experiment=camvid_lite0                     one run
  segexp check -m backbone=resnet18,mobilenet_v2 seed=0,1  every job of a sweep
  segexp check benchmark=...                               every job of a benchmark
  segexp check --names experiment=mine                     names, keys and types alone: within two seconds

Looked at are: names, keys and types (against the signatures of what they go to), the chain and its shapes on the meta device,
the monitor, optimizer and schedule, callbacks, trainer and devices, the folder of runs and its disk, pretrained weights, and
two samples of each split, decoded, augmented and their labels verified. What a sweep's jobs have in common is looked at once.
Each fault says the key, who set it (the override, or the file and line), and what would be right. Warnings refuse nothing.

  --names        leave out what needs torch
  --without-data leave out the samples, as where the data are on another machine

exit codes: 0 nothing is wrong, 2 something is
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from segexp.cli.arguments import split

USAGE = "segexp check [-m] [--names] [--without-data] [overrides]"


def run(arguments: Sequence[str]) -> int:
    """Check, and say all that is wrong."""
    _, overrides, flags = split(arguments, flags=("-m", "--multirun", "--names", "--without-data"), usage=USAGE)
    from segexp.check.jobs import check, expanded, told, verdict

    jobs = expanded(overrides, multirun=bool(flags & {"-m", "--multirun"}))
    found = check(jobs, names_only="--names" in flags, data="--without-data" not in flags)
    error = verdict(found)
    if error is not None and found.jobs == 1 and len(found.faults) == 1:
        raise error
    if said := told(found):
        print(said, file=sys.stderr, flush=True)
    if error is not None:
        raise error
    print(f"nothing is wrong: {found.said}")
    return 0
