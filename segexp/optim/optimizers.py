"""Optimizers with the parameter groups that segmentation recipes use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.optim import SGD, AdamW, Optimizer


def parameter_groups(model: Any, *, lr: float, weight_decay: float, backbone_factor: float) -> list[dict[str, Any]]:
    """Up to four groups: backbone or the rest, with or without weight decay; frozen parameters are left out.

    Norms, biases and other vectors don't decay. The backbone's learning rate is `lr` x `backbone_factor`.
    """
    inside = {id(p) for p in model.backbone.parameters()}
    groups: dict[str, dict[str, Any]] = {}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        backbone, decays = id(parameter) in inside, parameter.ndim > 1
        label = f"{'backbone' if backbone else 'rest'}/{'decay' if decays else 'no_decay'}"
        rate, decay = lr * (backbone_factor if backbone else 1.0), weight_decay if decays else 0.0
        groups.setdefault(label, {"name": label, "lr": rate, "weight_decay": decay, "params": []})["params"].append(parameter)
    return list(groups.values())


def adamw(
    model: Any,
    *,
    lr: float,
    weight_decay: float = 0.01,
    betas: Sequence[float] = (0.9, 0.999),
    backbone_factor: float = 1.0,
    fused: bool = False,
) -> Optimizer:
    """AdamW (Loshchilov and Hutter, 2019); `fused` takes one kernel per group instead of several per tensor."""
    groups = parameter_groups(model, lr=lr, weight_decay=weight_decay, backbone_factor=backbone_factor)
    return AdamW(groups, lr=lr, betas=(betas[0], betas[1]), fused=fused)


def sgd(
    model: Any,
    *,
    lr: float,
    weight_decay: float = 1e-4,
    momentum: float = 0.9,
    nesterov: bool = False,
    backbone_factor: float = 1.0,
) -> Optimizer:
    """Stochastic gradient descent with momentum."""
    groups = parameter_groups(model, lr=lr, weight_decay=weight_decay, backbone_factor=backbone_factor)
    return SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)
