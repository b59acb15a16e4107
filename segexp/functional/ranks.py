"""What several ranks say to each other on the host: sums, agreements, things gathered. With one rank each is free.

On a GPU the process group of the gradients is NCCL's; what is small and on the host has a group of its own (gloo), so that
nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

_ABSENT = object()
_host: dict[Any, Any] = {}  # default process group -> that of the host


def world() -> int:
    """The number of ranks."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this process is, from 0."""
    return dist.get_rank() if world() > 1 else 0


def summed(values: Mapping[str, float | Tensor]) -> dict[str, float]:
    """Numbers by name, summed over ranks in float64. A rank may lack names: one without images has none."""
    plain = {name: float(value) for name, value in values.items()}
    if world() == 1:
        return plain
    found: list[Any] = [None] * world()
    dist.all_gather_object(found, plain, group=_group())
    names = sorted({name for part in found for name in part})
    return {name: sum(part.get(name, 0.0) for part in found) for name in names}


def added(values: Sequence[float]) -> list[float]:
    """A vector summed over ranks, in float64: exact for counts of pixels; all ranks have the same entries."""
    if world() == 1 or not values:
        return list(values)
    total = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(total, group=_group())
    return total.tolist()


def largest(values: Sequence[int]) -> list[int]:
    """The largest of each entry over ranks: what one asks for, all know."""
    if world() == 1:
        return list(values)
    found = torch.tensor(values, dtype=torch.int64)
    dist.all_reduce(found, dist.ReduceOp.MAX, group=_group())
    return found.tolist()


def mean(values: Tensor) -> Tensor:
    """A tensor averaged over ranks, on its device."""
    if world() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / world()


def gathered(value: Any) -> list[Any]:
    """What each rank has, in the order of ranks: on rank 0 of all; elsewhere an empty list."""
    if world() == 1:
        return [value]
    found: list[Any] | None = [None] * world() if rank() == 0 else None
    dist.gather_object(value, found, group=_group())
    return found or []


def shared(value: Any) -> list[Any]:
    """What each rank has, in the order of ranks, on every rank."""
    if world() == 1:
        return [value]
    found: list[Any] = [None] * world()
    dist.all_gather_object(found, value, group=_group())
    return found


def in_turn(parts: Sequence[Sequence[Any]]) -> Iterator[Any]:
    """Items of ranks that took them in turn, in their first order."""
    for items in zip_longest(*parts, fillvalue=_ABSENT):
        yield from (item for item in items if item is not _ABSENT)


def share_buffers(module: nn.Module) -> None:
    """Give all ranks the buffers of rank 0 (running statistics of BatchNorm), in one message per kind of number."""
    if world() == 1:
        return
    kinds: dict[torch.dtype, list[Tensor]] = {}
    for buffer in module.buffers():
        kinds.setdefault(buffer.dtype, []).append(buffer)
    for buffers in kinds.values():
        flat = torch.cat([buffer.flatten() for buffer in buffers])
        dist.broadcast(flat, 0)
        for buffer, values in zip(buffers, flat.split([buffer.numel() for buffer in buffers]), strict=True):
            buffer.copy_(values.view_as(buffer))


def _group() -> Any:
    """The group of the host; made by all ranks at once, since all call the same."""
    default = dist.group.WORLD
    if dist.get_backend(default) == "gloo":
        return default
    if default not in _host:
        _host.clear()
        _host[default] = dist.new_group(backend="gloo")
    return _host[default]
