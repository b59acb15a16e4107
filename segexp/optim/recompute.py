"""Stages of a backbone that keep few activations: their blocks are computed anew in the backward pass.

What dense convolutions of more than one cell give is kept: it costs most to compute and takes little (a tenth of the first
stage of a ResNet-50). Stages count by the grid: the first ends at the first level of stride 4 or more, and has all that comes before in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from segexp.errors import ConfigError
from segexp.optim.stages import parameter_stages

DENSE = 4  # the stride at which the first stage ends


def stage_ends(backbone: Any) -> list[str]:
    """The levels at which the stages end."""
    return [name for name, level in backbone.spec.items() if level.stride >= DENSE]


def check_checkpoint(checkpoint_stages: Any, backbone: Any, *, compiled: bool = False) -> None:
    """Refuse numbers of stages that a backbone doesn't have, and compiled backbones.

    Raises:
        ConfigError: gives the stages that there are.
    """
    ends, where = stage_ends(backbone), f"backbone.checkpoint_stages={checkpoint_stages}"
    if not isinstance(checkpoint_stages, int) or isinstance(checkpoint_stages, bool) or not 0 <= checkpoint_stages <= len(ends):
        stages = ", ".join(f"{number} up to {level}" for number, level in enumerate(ends, 1))
        what = f"{type(backbone).__name__} has {len(ends)} stages ({stages}); the first 0 to {len(ends)} can be computed anew"
        raise ConfigError(what, where=where, fix=f"backbone.checkpoint_stages={len(ends)}")
    if checkpoint_stages and compiled:
        raise ConfigError("a compiled backbone decides itself what it keeps", where=where, fix="trainer.compile=false")
    if checkpoint_stages and not _within(backbone, checkpoint_stages):
        what = f"{type(backbone).__name__} calls its layers one by one, so that there are no blocks to be computed anew"
        raise ConfigError(what, where=where, fix="backbone.checkpoint_stages=0, or a network of timm such as backbone=resnet50")


def checkpoint_stages(backbone: Any, count: int) -> list[str]:
    """Let the blocks of the first stages compute their activations anew in the backward pass; values don't change.

    Args:
        backbone: whose names of weights stay as they are.
        count: so many stages; 0 = none.

    Returns:
        The names of the modules that keep nothing.

    Raises:
        ConfigError: there are fewer stages.
    """
    check_checkpoint(count, backbone)
    if not count:
        return []
    names = _within(backbone, count)
    for name in names:
        module: Any = backbone.get_submodule(name)
        module.forward = partial(_recomputed, module, module.forward)
    return names


def _within(backbone: Any, count: int) -> list[str]:
    """The blocks of the first stages; none where a traced graph calls layers past them."""
    if any(isinstance(part, GraphModule) for part in backbone.modules()):
        return []
    last = list(backbone.spec).index(stage_ends(backbone)[count - 1]) + 1
    return list(_blocks(backbone, "", {name for name, stage in parameter_stages(backbone).items() if stage <= last}))


def _blocks(module: nn.Module, name: str, within: set[str]) -> Iterator[str]:
    """The largest parts with parts of their own, all of whose weights are within the stages."""
    for child, part in module.named_children():
        path = f"{name}.{child}".lstrip(".")
        own = {f"{path}.{key}" for key, _ in part.named_parameters()}
        if own and own <= within and any(part.children()) and not isinstance(part, nn.ModuleList | nn.ModuleDict):
            yield path
        else:
            yield from _blocks(part, path, within)


def _recomputed(module: nn.Module, forward: Any, *inputs: Any) -> Any:
    """The module's output.

    Raises:
        ConfigError: it changes its input in place, so that it can't be computed from it again.
    """
    if not torch.is_grad_enabled() or not module.training:
        return forward(*inputs)
    versions = [x._version for x in inputs if isinstance(x, Tensor)]
    output = checkpoint(forward, *inputs, use_reentrant=False, context_fn=partial(_contexts, module))
    if versions != [x._version for x in inputs if isinstance(x, Tensor)]:
        what = f"a {type(module).__name__} can't be computed anew: it changes its input in place"
        raise ConfigError(what, where="backbone.checkpoint_stages", fix="backbone.checkpoint_stages=0")
    return output


def _contexts(module: nn.Module) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """Around the first computation and around the second."""
    first, second = create_selective_checkpoint_contexts(_policy)
    return first, _still_statistics(module, second)


def _policy(context: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    """Keep what dense convolutions of more than one cell give: `convolution(input, weight, ..., groups)`."""
    if operation is torch.ops.aten.convolution.default and args[1].shape[2:].numel() > 1 and args[8] == 1:
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE


@contextmanager
def _still_statistics(module: nn.Module, kept_results: AbstractContextManager[Any]) -> Iterator[None]:
    """BatchNorms move copies of their statistics, for the first computation has moved them already."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    kept = [(norm, dict(norm._buffers)) for norm in norms]
    try:
        for norm, buffers in kept:
            norm._buffers.update({name: None if value is None else value.clone() for name, value in buffers.items()})
        with kept_results:
            yield
    finally:
        for norm, buffers in kept:
            norm._buffers.update(buffers)
