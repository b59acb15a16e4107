"""BatchNorm for maps that may shrink to one value per channel."""

from __future__ import annotations

import logging

from torch import Tensor, nn
from torch.nn import functional as F

log = logging.getLogger(__name__)


class SingleValueNorm(nn.BatchNorm2d):
    """BatchNorm that uses its running statistics where a batch has one value per channel (it has no variance).

    Such batches are counted in `singles` since the start of the process; the log has the first, the 10th, the 100th, ...
    """

    singles = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            self.singles += 1
            if self.singles == 1:
                log.warning("a batch of one image: the BatchNorm of a pooled map uses its running statistics")
            elif str(self.singles).rstrip("0") == "1":
                log.info("%d batches of one image: the BatchNorm of a pooled map used its running statistics", self.singles)
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


def single_value_safe(module: nn.Module) -> nn.Module:
    """Replace every BatchNorm2d inside a freshly built module by one that takes a single value; the names of weights stay."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(module, name, SingleValueNorm(child.num_features, child.eps, child.momentum, child.affine))
        else:
            single_value_safe(child)
    return module
