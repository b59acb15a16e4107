"""Print, for each chain named on the command line, how far two ranks' gradients are from one rank's.

A script of its own with one thread per process: ranks are forked, which a process that has started a thread pool mustn't be.
The first chain is measured once more with BatchNorm over all ranks, which is that of the whole batch (never of accumulated ones).
"""

import sys
import tempfile
from pathlib import Path

import torch

from segexp.strategies.sync_norm import SyncNorm
from tests.chains.test_gradients import error, gradients


def measure(name, cuts, sync=False):
    """Print a line for each (batch size, accumulated batches) of two ranks."""
    whole = gradients(name, 4, 1, by_batch=sync)
    for batch_size, accumulate in cuts:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "gradients.pt"
            plugins = {"plugins": [SyncNorm()]} if sync else {}
            gradients(name, batch_size, accumulate, path=path, devices=2, strategy="ddp_fork", by_batch=sync, **plugins)
            print(name + "+sync" * sync, batch_size, accumulate, error(torch.load(path), whole))


if __name__ == "__main__":
    for each in sys.argv[1:]:
        measure(each, ((2, 1), (1, 2)))
    measure(sys.argv[1], ((2, 1),), sync=True)
