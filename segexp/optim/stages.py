"""Stages of a backbone: which parameters belong to which, and how the first of them are frozen.

Stage s of a backbone is all that its s-th level needs and no earlier level does, the stem being part of stage 1. It is read
from autograd's graph, so that it holds for any backbone, and nothing has to be declared.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from segexp.errors import ConfigError


def parameter_stages(backbone: Any) -> dict[str, int]:
    """The stage of each parameter by name, from 1; those that no level depends on have none.

    Args:
        backbone: gives `spec` (levels, shallow first), `mean` (one value per channel) and `pad_to`. Its modules stay
            in their modes, and no running statistic moves.
    """
    parameters, modes = dict(backbone.named_parameters()), {module: module.training for module in backbone.modules()}
    asked = {name: parameter.requires_grad for name, parameter in parameters.items()}
    names = {id(parameter): name for name, parameter in parameters.items()}
    side = -(-64 // backbone.pad_to) * backbone.pad_to  # pixels
    example = next(iter(parameters.values()), torch.empty(0))
    images = torch.zeros(1, len(backbone.mean), side, side, device=example.device, dtype=example.dtype)
    try:
        backbone.requires_grad_(True).eval()
        with torch.enable_grad():
            levels = backbone.forward(images)  # not as a call: a compiled one has one node for all
    finally:
        for module, mode in modes.items():
            module.training = mode
        for name, parameter in parameters.items():
            parameter.requires_grad_(asked[name])
    found: dict[str, int] = {}
    for number, level in enumerate(backbone.spec, 1):
        for leaf in _leaves(levels[level]) & names.keys():
            found.setdefault(names[leaf], number)
    return found


def _leaves(tensor: Tensor) -> set[int]:
    """The ids of the tensors that a value was computed from."""
    seen, todo, found = set(), [tensor.grad_fn], set()
    while todo:
        node: Any = todo.pop()
        if node is not None and node not in seen:
            seen.add(node)
            found.add(id(getattr(node, "variable", None)))
            todo.extend(before for before, _ in node.next_functions)
    return found


def check_freeze(freeze: Any, norm_eval: Any, backbone: Any) -> None:
    """Refuse numbers of stages that a backbone doesn't have.

    Raises:
        ConfigError: gives the stages that there are.
    """
    stages = ", ".join(f"{number} {level}" for number, level in enumerate(backbone.spec, 1))
    if not isinstance(freeze, int) or isinstance(freeze, bool) or not 0 <= freeze <= len(backbone.spec):
        what = f"{type(backbone).__name__} has {len(backbone.spec)} stages ({stages}); the first 0 to {len(backbone.spec)} can be frozen"
        raise ConfigError(what, where=f"backbone.freeze={freeze}", fix=f"backbone.freeze={len(backbone.spec)}")
    if not isinstance(norm_eval, bool):
        raise ConfigError("true or false is wanted", where=f"backbone.norm_eval={norm_eval}", fix="backbone.norm_eval=true")


def frozen_norms(backbone: Any, frozen: set[str]) -> set[str]:
    """Names of the BatchNorms whose parameters are frozen; for one that has none, those of the block around it count.

    Args:
        backbone: any.
        frozen: names of frozen parameters.
    """
    return {name for name in norms(backbone) if _is_within(backbone, name, frozen)}


def norms(backbone: nn.Module) -> set[str]:
    """Names of the BatchNorms."""
    return {name for name, module in backbone.named_modules() if isinstance(module, _BatchNorm)}


def _is_within(backbone: nn.Module, name: str, frozen: set[str]) -> bool:
    own = {f"{name}.{key}" for key, _ in backbone.get_submodule(name).named_parameters()}
    while not own and name:
        name = name.rpartition(".")[0]
        own = {f"{name}.{key}".lstrip(".") for key, _ in backbone.get_submodule(name).named_parameters()}
    return bool(own) and own <= frozen


def freeze_stages(model: Any, *, freeze: int, norm_eval: bool) -> list[str]:
    """Freeze the first stages of a model's backbone: their parameters get no gradient, their norms keep their statistics.

    Args:
        model: gives `backbone`, and `still`, the names of modules that stay in eval mode also where it trains.
        freeze: so many stages; 0 = none.
        norm_eval: let all BatchNorms of the backbone keep their statistics.

    Returns:
        The names of the frozen parameters.

    Raises:
        ConfigError: there are fewer stages.
    """
    check_freeze(freeze, norm_eval, model.backbone)
    stages = parameter_stages(model.backbone) if freeze else {}
    frozen = {name for name, stage in stages.items() if stage <= freeze}
    for name in frozen:
        model.backbone.get_parameter(name).requires_grad_(False)
    still = norms(model.backbone) if norm_eval else frozen_norms(model.backbone, frozen)
    model.still = tuple(sorted(f"backbone.{name}" for name in still))
    model.train(model.training)
    return sorted(f"backbone.{name}" for name in frozen)
