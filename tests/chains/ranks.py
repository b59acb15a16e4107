"""Print, for each chain named on the command line, how far two ranks' gradients are from one rank's.

A script of its own with one thread per process: ranks are forked, which a process that has started a thread pool mustn't be.
"""

import sys
import tempfile
from pathlib import Path

import torch

from tests.chains.test_gradients import error, gradients

if __name__ == "__main__":
    for name in sys.argv[1:]:
        whole = gradients(name, 4, 1)
        for batch_size, accumulate in ((2, 1), (1, 2)):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "gradients.pt"
                gradients(name, batch_size, accumulate, path=path, devices=2, strategy="ddp_fork")
                print(name, batch_size, accumulate, error(torch.load(path), whole))
