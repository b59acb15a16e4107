"""A loss that does what `tests.sweeps.faults` has to offer when it is made for a training, not when a chain is looked at."""

import torch

from segexp.losses.cross_entropy import CrossEntropy
from tests.sweeps import faults

FIGURE = {0: "error", 1: "memory", 2: "exit_0", 3: "segfault", 4: "kill_once"}  # by seed


class Faulty(CrossEntropy):
    """Args as of a cross-entropy, and `fault`: a name, or a number to look up in `FIGURE`."""

    def __init__(self, data, *, weight=1.0, class_weights=None, label_smoothing=0.0, fused=True, fault="fine"):
        if torch.get_default_device().type != "meta":
            getattr(faults, FIGURE.get(fault, "fine") if isinstance(fault, int) else fault)()
        super().__init__(data, weight=weight, class_weights=class_weights, label_smoothing=label_smoothing, fused=fused)
