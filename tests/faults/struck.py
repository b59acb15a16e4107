"""A loss that is struck in the middle of a training: in a run of its own, or in one job of a sweep."""

import os
import random
import signal
import sys
from pathlib import Path

import torch

from segexp.functional.images import read_image
from segexp.losses.cross_entropy import CrossEntropy

STEP = 3  # the training batch, from 1, that it comes in


def none(loss):
    """Nothing happens; several names for several jobs."""


last = none


def globals_changed(loss):
    """All that a careless job may change of a process, and then a failure."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(7)
    random.seed(7)
    os.environ["OMP_NUM_THREADS"] = "2"
    raise RuntimeError("globals were changed")


def memory(loss):
    raise MemoryError


def exits(loss):
    sys.exit(0)


def segfault(loss):
    os.kill(os.getpid(), signal.SIGSEGV)


def killed(loss):
    os.kill(os.getpid(), signal.SIGKILL)


def empty_picture(loss):
    path = Path(__file__).with_name("__init__.py")  # no picture
    read_image(path)


def not_a_number(loss):
    loss["ce"] = loss["ce"] * float("nan")


class Struck(CrossEntropy):
    """A cross-entropy, and a function of this module at the third training batch.

    Args:
        data: the classes.
        fault: the function's name.
    """

    def __init__(self, data, *, weight=1.0, class_weights=None, label_smoothing=0.0, fused=True, fault="none"):
        super().__init__(data, weight=weight, class_weights=class_weights, label_smoothing=label_smoothing, fused=fused)
        self.fault, self.batches = globals()[fault], 0

    def forward(self, output, batch):
        sums = super().forward(output, batch)
        self.batches += batch.ids[0].startswith("train")
        if self.batches == STEP:
            self.batches += 1
            self.fault(sums)
        return sums
