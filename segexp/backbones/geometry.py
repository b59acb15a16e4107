"""What a convolutional network does to the grid: its strides, where its levels are, and how a stride becomes a dilation.

All of it is seen on the meta device, so that no arithmetic is done and no weight is read.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segexp.errors import ConfigError

PROBE = (256, 384)  # pixels; two different sides, so that a layout [B,H,W,C] isn't taken for a map
STRIDES = (8, 16, 32)
GRID_LAYERS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
FIRST_BLOCKS = ("previous", "full")
DILATING = ("resnet50", "xception65", "mobilenet_v2", "efficientnet_lite0", "regnety_002", "convnext_tiny", "vgg16")

# Backbones of conf/backbone whose dilated stages pool over the whole map: those means see other cells when the stride changes,
# so that features at shared positions agree only with the gates held fixed.
POOLS_GLOBALLY = dict.fromkeys(
    ("efficientnet_b0", "mobilenet_v3_large", "mobilenet_v3_small", "regnety_002", "regnety_008"),
    "squeeze-and-excitation: its gates are means over the whole map",
)


class Call(NamedTuple):
    """A module's call on the probe image."""

    module: nn.Module
    before: int | None  # stride of its input to the image; None where that is no map of the grid
    after: int | None  # and of its output
    given: int  # channels of its input
    channels: int  # and of its output
    tokens: bool  # a linear layer or norm on [B,N,C]


@dataclass(frozen=True)
class Change:
    """A layer's new geometry."""

    name: str
    stride: int
    dilation: tuple[int, int]
    before: tuple[int, int]  # padding at the top and at the left
    after: tuple[int, int]  # and at the bottom and at the right


def on_meta(make: Callable[[], Any]) -> Any:
    """What `make` makes, without memory for its weights."""
    with torch.device("meta"):
        return made(make)


def made(make: Callable[[], Any]) -> Any:
    """What `make` makes, on the default device; some constructors compute with tensors, which the meta device can't do."""
    try:
        return make()
    except (NotImplementedError, RuntimeError) as error:
        if torch.get_default_device().type != "meta" or "meta" not in str(error).lower():
            raise
    with torch.device("cpu"):
        net = make()
    return net.to("meta")


def skeleton(net: nn.Module, make: Callable[[], Any]) -> Any:
    """The network itself where it has no memory for its weights, else another one of the same make that has none."""
    return net if all(weight.is_meta for weight in net.parameters()) else on_meta(make)


def observe(net: nn.Module, channels: int) -> dict[str, Call]:
    """Each module's first call, in the order in which they end, by module name.

    Args:
        net: on the meta device.
        channels: of an image.
    """
    calls: dict[str, Call] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            given = inputs[0] if inputs else None
            widths = [x.shape[1] if isinstance(x, Tensor) and x.ndim > 1 else 0 for x in (given, output)]
            tokens = isinstance(module, (nn.Linear, nn.LayerNorm)) and isinstance(given, Tensor) and given.ndim == 3
            calls.setdefault(name, Call(module, stride_of(given), stride_of(output), *widths, tokens))

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in net.named_modules()]
    norms: list[Any] = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    was = net.training
    try:
        for norm in norms:  # which change no size, and take most of the time on the meta device
            norm.forward = _same
        with torch.no_grad():
            net.eval()(torch.zeros(1, channels, *PROBE, device="meta"))
    finally:
        for norm in norms:
            del norm.forward
        net.train(was)
        for handle in handles:
            handle.remove()
    return calls


def _same(x: Tensor) -> Tensor:
    return x


def stride_of(value: Any) -> int | None:
    """The stride of a map [B,C,h,w] made of the probe image; None where it is none, or isn't exact on both axes."""
    if not isinstance(value, Tensor) or value.ndim != 4:
        return None
    (height, width), (h, w) = PROBE, value.shape[2:]
    return height // h if h and w and height % h == 0 and width % w == 0 and height // h == width // w else None


def level_modules(net: nn.Module, calls: dict[str, Call], block: str = "last") -> dict[str, Call]:
    """The module of each stride from 2 to 32 whose output is the level, shallow first; blocks that halve the grid at most once stay whole.

    Args:
        net: the network that was observed.
        calls: of it.
        block: `last` of each stride, or `first`; the deepest level is the last module's in any case.

    Raises:
        ConfigError: another `block`.
    """
    if block not in ("first", "last"):
        raise ConfigError("no such block of a stride", where=f"backbone.level_block={block}", fix="backbone.level_block=last|first")
    units = set(_units(net, calls, ""))
    ordered = [(call.after, name) for name, call in calls.items() if name in units]
    ends = dict(ordered)
    chosen = ends | ({after: name for after, name in reversed(ordered) if after != ordered[-1][0]} if block == "first" else {})
    return {chosen[stride]: calls[chosen[stride]] for stride in (2, 4, 8, 16, 32) if stride in chosen}


def _units(module: nn.Module, calls: dict[str, Call], name: str) -> Iterable[str]:
    call = calls.get(name)
    children = [(f"{name}.{child}".lstrip("."), part) for child, part in module.named_children()]
    called = [(path, part) for path, part in children if path in calls or any(name.startswith(f"{path}.") for name in calls)]
    if call and call.before and call.after and (call.after <= 2 * call.before or not called):
        return [name]
    return [unit for path, part in called for unit in _units(part, calls, path)]


def dilate(
    net: nn.Module,
    calls: dict[str, Call],
    output_stride: int,
    *,
    name: str,
    first_block_dilation: str = "previous",
    multi_grid: Sequence[int] | None = None,
) -> None:
    """Let no layer's stride go beyond `output_stride`: further strides become dilations, so that no weight changes.

    `previous`: a layer on a map that would have had stride s gets dilation s / output_stride. That leaves the first block of
    a dilated stage with the previous dilation, as published, and every value at shared positions as it was.
    `full`: all convolutions of a dilated stage get the stage's own dilation, those of its first block too, which changes values.

    Args:
        net: the network to change; of the same layers as the one that was observed.
        calls: its undilated form's.
        output_stride: 8, 16 or 32.
        name: of the network, for messages.
        first_block_dilation: `previous` or `full`.
        multi_grid: one factor for each block of the last stage, by which its dilation is multiplied.

    Raises:
        ConfigError: the network can't be dilated so; gives what fits.
    """
    check_keys(output_stride, first_block_dilation, multi_grid)
    full = first_block_dilation == "full"
    factors = _grid_factors(calls, multi_grid, name) if multi_grid is not None else {}
    changes = _checked(calls, output_stride, full, factors)
    if isinstance(changes, str):
        fit = [f"backbone.output_stride={s}" for s in STRIDES if not isinstance(_checked(calls, s, full, factors), str)]
        others = f"a network whose stride convolutions set, such as backbone={'|'.join(DILATING)}"
        raise ConfigError(
            f"{name} can't have output stride {output_stride}: {changes}",
            where="backbone.output_stride",
            fix=", ".join([" or ".join(fit), f"or {others}"] if fit else [others]),
        )
    _apply(net, changes)


def check_keys(output_stride: Any, first_block_dilation: Any, multi_grid: Any) -> None:
    """Refuse values of a dilated backbone's keys that fit no network.

    Raises:
        ConfigError: names the key and what it can be.
    """
    if output_stride not in STRIDES:
        raise ConfigError(f"output stride {output_stride}", where="backbone.output_stride", fix="backbone.output_stride=8|16|32")
    if first_block_dilation not in FIRST_BLOCKS:
        what, fix = "no such rule for the first block of a dilated stage", f"backbone.first_block_dilation={'|'.join(FIRST_BLOCKS)}"
        raise ConfigError(what, where=f"backbone.first_block_dilation={first_block_dilation}", fix=fix)
    factors = multi_grid if isinstance(multi_grid, list | tuple) else [0]
    if multi_grid is not None and any(not isinstance(factor, int) or isinstance(factor, bool) or factor < 1 for factor in factors):
        what = "multi_grid is a list of whole numbers from 1 on"
        raise ConfigError(what, where=f"backbone.multi_grid={multi_grid}", fix="backbone.multi_grid=[1,2,4]")


def rounded_up(x: Tensor, size: Sequence[int], stride: int) -> Tensor:
    """A level [B,C,h,w] of a network whose pools round sizes up, cut to ceil(size / stride): k x stride pixels get a cell too many."""
    height, width = size
    return x[..., : -(-height // stride), : -(-width // stride)]


def _checked(calls: dict[str, Call], output_stride: int, full: bool, factors: dict[str, int]) -> list[Change] | str:
    """What must change for an output stride, or why it can't be had: found by doing it to a copy without weights."""
    changes = _changes(calls, output_stride, full, factors)
    if isinstance(changes, str) or not changes:
        return changes
    trial = copy.deepcopy(calls[""].module)
    _apply(trial, changes)
    try:
        found = observe(trial, calls[""].given)
    except RuntimeError:
        return "its parts wouldn't fit each other: something other than a convolution sets a stride"
    for name, call in calls.items():
        if call.after and name in found and found[name].after != min(call.after, output_stride):
            return f"{name or 'its last map'} would have stride {found[name].after}"
    return changes


def _changes(calls: dict[str, Call], output_stride: int, full: bool, factors: dict[str, int]) -> list[Change] | str:
    """The changes by rule; or the reason why there are none."""
    grid = {n: c for n, c in calls.items() if isinstance(c.module, GRID_LAYERS) and c.before and c.after}
    deep = {n: c for n, c in grid.items() if max(c.before or 0, c.after or 0) > output_stride}
    tokens = any(call.tokens for call in calls.values())
    if deep and tokens:
        return "attention over tokens has no dilation"
    if tokens and not deep and output_stride < 32 and max((c.after or 0 for c in grid.values()), default=0) <= output_stride:
        return "no convolution sets its stride"
    stages = _stage_strides(calls, grid) if full else {}
    changes = []
    for name in {**deep, **{name: grid[name] for name in factors}}:
        call = grid[name]
        seen = max(call.before or 1, stages.get(name, 1) if isinstance(call.module, nn.Conv2d) else 1)
        change = _change(name, call, output_stride, max(1, seen // output_stride) * factors.get(name, 1))
        if isinstance(change, str):
            return change
        changes.append(change)
    return changes


def _stage_strides(calls: dict[str, Call], grid: dict[str, Call]) -> dict[str, int]:
    """For each layer the stride at which its stage ends; a stage is the largest part that halves the grid at most once."""
    root, found = calls[""].module, {}
    for unit in _units(root, calls, ""):
        inside = [name for name in grid if name == unit or name.startswith(f"{unit}.")]
        end = max((grid[name].after or 0 for name in inside), default=0)
        found |= dict.fromkeys(inside, end)
    return found


def _change(name: str, call: Call, output_stride: int, rate: int) -> Change | str:
    layer: Any = call.module
    kernel, stride, padding, dilation = (_pair(getattr(layer, key, 1)) for key in ("kernel_size", "stride", "padding", "dilation"))
    step = max(1, output_stride // (call.before or 1)) if stride[0] > 1 else 1
    reach = tuple((k - 1) * d for k, d in zip(kernel, dilation, strict=True))
    if _pads_itself(layer):
        padding = tuple(r // 2 for r in reach)
    if any(p > r for p, r in zip(padding, reach, strict=True)):
        return f"{name} pads by more than its kernel reaches"
    before = [p * rate for p in padding]
    after = [p * rate if 2 * p == r else max(0, (r - p) * rate + 1 - step) for p, r in zip(padding, reach, strict=True)]
    rates = [d * rate if k > 1 else 1 for k, d in zip(kernel, dilation, strict=True)]  # torch is slow with a dilated 1x1
    return Change(name, step, (rates[0], rates[1]), (before[0], before[1]), (after[0], after[1]))


def _pads_itself(layer: Any) -> bool:
    """TensorFlow's "same" padding, which is computed at the call: timm's from the layer's stride, the other libraries' is fixed."""
    return type(layer).__name__.endswith("Same") or hasattr(layer, "static_padding")


def _apply(net: nn.Module, changes: Iterable[Change]) -> None:
    for change in changes:
        layer: Any = net.get_submodule(change.name)
        if isinstance(layer, nn.AvgPool2d) and change.dilation != (1, 1):
            parent, _, child = change.name.rpartition(".")
            setattr(net.get_submodule(parent), child, DilatedAvgPool2d(_pair(layer.kernel_size), change))
            continue
        layer.stride = (change.stride,) * 2
        if not isinstance(layer, nn.AvgPool2d):
            layer.dilation = change.dilation
        if hasattr(layer, "static_padding"):
            layer.static_padding = nn.Identity()
        elif _pads_itself(layer):
            continue
        layer.padding = change.before
        pools = isinstance(layer, nn.MaxPool2d)
        # an even kernel has no centre: what it sees lies at the right and below; and torch's pool pads by half a kernel at most
        if change.before != change.after or (pools and change.dilation != (1, 1)):
            layer.padding = (0, 0)
            layer.register_forward_pre_hook(partial(_pad, change, -torch.inf if pools else 0.0))


def _pad(change: Change, value: float, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (_padded(inputs[0], change, value), *inputs[1:])


def _padded(x: Tensor, change: Change, value: float = 0.0) -> Tensor:
    (top, left), (bottom, right) = change.before, change.after
    return F.pad(x, (left, right, top, bottom), value=value)


class DilatedAvgPool2d(nn.Module):
    """Means over cells that lie apart, at stride 1; torch's pool has no dilation. Zeros beyond the edge count."""

    def __init__(self, kernel: tuple[int, ...], change: Change) -> None:
        super().__init__()
        self.kernel, self.change = kernel, change

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        padded, (down, across) = _padded(x, self.change), self.change.dilation
        shifts = [(i * down, j * across) for i in range(self.kernel[0]) for j in range(self.kernel[1])]
        total = padded[..., : padded.shape[-2] - (self.kernel[0] - 1) * down, : padded.shape[-1] - (self.kernel[1] - 1) * across]
        for y, z in shifts[1:]:
            total = total + padded[..., y : y + height, z : z + width]
        return total / len(shifts)


def _grid_factors(calls: dict[str, Call], multi_grid: Sequence[int], name: str) -> dict[str, int]:
    """The factor of each spatial convolution in the blocks of the last stage.

    Raises:
        ConfigError: there is another number of blocks than of factors.
    """
    where, factors = f"backbone.multi_grid={list(multi_grid)}", list(multi_grid)
    blocks = last_blocks(calls)
    if len(blocks) != len(factors):
        what = f"the last stage of {name} has {len(blocks)} blocks, not {len(factors)}"
        fix = f"backbone.multi_grid=[{','.join(['1'] * len(blocks))}], or others, one for each" if blocks else "backbone.multi_grid=null"
        raise ConfigError(what, where=where, fix=fix)
    return {layer: factor for block, factor in zip(blocks, factors, strict=True) for layer in _spatial(calls, block)}


def last_blocks(calls: dict[str, Call]) -> list[str]:
    """Names of the blocks of the last stage, the parts of the undilated network that end at its full stride."""
    grid = {n: c for n, c in calls.items() if isinstance(c.module, GRID_LAYERS) and c.before and c.after}
    stages, deepest = _stage_strides(calls, grid), max((call.after or 0 for call in grid.values()), default=0)
    units = [unit for unit in _units(calls[""].module, calls, "") if any(stages[n] == deepest for n in _spatial(calls, unit))]
    return [block for unit in units for block in _blocks(calls, unit)]


def _blocks(calls: dict[str, Call], name: str) -> list[str]:
    module = calls[""].module.get_submodule(name)
    if isinstance(module, (nn.Sequential, nn.ModuleList)) or "Stage" in type(module).__name__:
        return [block for child, _ in module.named_children() for block in _blocks(calls, f"{name}.{child}")]
    return [name] if _spatial(calls, name) and not isinstance(module, GRID_LAYERS) else []


def _spatial(calls: dict[str, Call], part: str) -> list[str]:
    """Names of the convolutions within a part that see more than one cell."""
    inside = {n: c.module for n, c in calls.items() if (n == part or n.startswith(f"{part}.")) and c.before and c.after}
    return [n for n, module in inside.items() if isinstance(module, nn.Conv2d) and max(_pair(module.kernel_size)) > 1]


def _pair(value: Any) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def set_input_channels(net: nn.Module, channels: int) -> None:
    """Give the first convolution on RGB images another number of channels, with new random weights."""
    if channels == 3:
        return
    conv = next(module for module in net.modules() if isinstance(module, nn.Conv2d) and module.in_channels == 3)
    conv.in_channels = channels
    conv.weight = nn.Parameter(torch.empty(conv.out_channels, channels, *conv.kernel_size, device=conv.weight.device))
    conv.reset_parameters()
