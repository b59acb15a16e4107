"""Optimizers with the parameter groups that segmentation recipes use."""

from __future__ import annotations

from typing import Any

from torch.optim import SGD, AdamW, Optimizer

from segexp.optim.stages import parameter_stages


def parameter_groups(
    model: Any,
    *,
    lr: float,
    weight_decay: float,
    backbone_factor: float,
    layer_decay: float = 1.0,
    head_factor: float = 1.0,
    bias_factor: float = 1.0,
    decay_vectors: bool = False,
) -> list[dict[str, Any]]:
    """Groups of backbone, head or the rest, with or without weight decay; frozen parameters are left out.

    Norms, biases and other vectors don't decay, but with `decay_vectors`. The backbone's learning rate is `lr` x
    `backbone_factor`. With a `layer_decay` other than 1 each stage of the backbone has groups of its own, named
    `backbone/stage<s>/...`; of S stages the last one's rate is that x `layer_decay`, the first one's that x `layer_decay`^S.

    With a `head_factor` other than 1 the head has groups of its own, at `lr` x `head_factor`; with a `bias_factor` other
    than 1 all biases have, at the rate that they would have had x `bias_factor`. So 10 and 2 are the first DeepLabs' ten
    times the rate for the classifier's weights and twenty times for its biases.
    """
    stages = _distances(model.backbone) if layer_decay != 1 else {}
    inside = {id(p): name for name, p in model.backbone.named_parameters()}
    groups: dict[str, dict[str, Any]] = {}
    for full, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        name, decays = inside.get(id(parameter)), parameter.ndim > 1 or decay_vectors
        stage, distance = stages.get(name or "", ("", 0))
        in_head, is_bias = head_factor != 1 and full.startswith("head."), bias_factor != 1 and full.rpartition(".")[2] == "bias"
        place = f"backbone{stage}" if name else "head" if in_head else "rest"
        label = f"{place}/{'bias' if is_bias else 'decay' if decays else 'no_decay'}"
        rate, decay = lr * (backbone_factor if name else head_factor if in_head else 1.0), weight_decay if decays else 0.0
        rate = rate * layer_decay**distance if distance else rate
        rate = rate * bias_factor if is_bias else rate
        groups.setdefault(label, {"name": label, "lr": rate, "weight_decay": decay, "params": []})["params"].append(parameter)
    return list(groups.values())


def _distances(backbone: Any) -> dict[str, tuple[str, int]]:
    """Of each parameter of a backbone, (its stage as part of a group's name, how far below the decoder it is)."""
    top = len(backbone.spec) + 1
    return {name: (f"/stage{stage}", top - stage) for name, stage in parameter_stages(backbone).items()}


def adamw(
    model: Any,
    *,
    lr: float,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
    backbone_factor: float = 1.0,
    layer_decay: float = 1.0,
    head_factor: float = 1.0,
    bias_factor: float = 1.0,
    decay_vectors: bool = False,
    fused: bool = False,
) -> Optimizer:
    """AdamW (Loshchilov and Hutter, 2019); `fused` takes one kernel per group instead of several per tensor."""
    groups = parameter_groups(
        model,
        lr=lr,
        weight_decay=weight_decay,
        backbone_factor=backbone_factor,
        layer_decay=layer_decay,
        head_factor=head_factor,
        bias_factor=bias_factor,
        decay_vectors=decay_vectors,
    )
    return AdamW(groups, lr=lr, betas=(betas[0], betas[1]), fused=fused)


def sgd(
    model: Any,
    *,
    lr: float,
    weight_decay: float = 1e-4,
    momentum: float = 0.9,
    nesterov: bool = False,
    backbone_factor: float = 1.0,
    layer_decay: float = 1.0,
    head_factor: float = 1.0,
    bias_factor: float = 1.0,
    decay_vectors: bool = False,
) -> Optimizer:
    """Stochastic gradient descent with momentum."""
    groups = parameter_groups(
        model,
        lr=lr,
        weight_decay=weight_decay,
        backbone_factor=backbone_factor,
        layer_decay=layer_decay,
        head_factor=head_factor,
        bias_factor=bias_factor,
        decay_vectors=decay_vectors,
    )
    return SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)
