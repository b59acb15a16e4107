"""BatchNorm over all ranks, on any device and whatever a BatchNorm has inside (torch's own loses the activations of timm's)."""

from __future__ import annotations

import functools
from typing import Any

import torch
from pytorch_lightning.plugins.layer_sync import LayerSync
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from segexp.functional.ranks import world


class SyncNorm(LayerSync):
    """Makes each BatchNorm one whose statistics are those of the whole batch; without effect on one rank, or in eval mode."""

    def apply(self, model: nn.Module) -> nn.Module:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.__class__ = synced(type(module))
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        for module in model.modules():
            if replaced := getattr(type(module), "replaced", None):
                module.__class__ = replaced
        return model


@functools.cache
def synced(kind: type[nn.BatchNorm2d]) -> Any:
    """A kind of BatchNorm2d with the mean and variance of all ranks' pixels (Peng et al., MegDet, 2018); names of weights stay."""

    def forward(self: Any, x: Tensor) -> Tensor:
        if not self.training or world() == 1:
            return kind.forward(self, x)
        normalised = _normalised(self, x)
        return self.act(self.drop(normalised)) if hasattr(self, "act") else normalised

    return type(f"Synced{kind.__name__}", (kind,), {"forward": forward, "replaced": kind})


def _normalised(norm: Any, x: Tensor) -> Tensor:
    """The mean and variance of [B,C,h,w] over all ranks, each weighted by how many pixels it has; its running ones follow.

    In float32 at least: a half can't count to 65,536, nor bfloat16 to 257.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    sums = all_reduce(torch.cat([wide.sum((0, 2, 3)), wide.new_tensor([x.numel() / x.shape[1]])]))  # [C+1]
    count = sums[-1].detach()
    mean = sums[:-1] / count  # [C]
    centred = wide - mean[:, None, None]  # two passes: the sum of squares alone loses digits
    variance = all_reduce(centred.square().sum((0, 2, 3))) / count  # [C]
    _note(norm, mean.detach(), variance.detach(), count)
    scale = (variance + norm.eps).rsqrt() * (1.0 if norm.weight is None else norm.weight)
    shift = 0.0 if norm.bias is None else norm.bias[:, None, None]
    return (centred * scale[:, None, None] + shift).to(x.dtype)


@torch.no_grad()
def _note(norm: Any, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    if norm.running_mean is None:
        return
    norm.num_batches_tracked.add_(1)
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance * (count / (count - 1)), share)
