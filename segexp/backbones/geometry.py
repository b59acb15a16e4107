"""What a convolutional network does to the grid: its strides, where its levels are, and how a stride becomes a dilation.

All of it is seen on the meta device, so that no arithmetic is done and no weight is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from segexp.errors import ConfigError

PROBE = (256, 384)  # pixels; two different sides, so that a layout [B,H,W,C] isn't taken for a map
STRIDES = (8, 16, 32)
GRID_LAYERS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


class Call(NamedTuple):
    """A module's call on the probe image."""

    module: nn.Module
    before: int | None  # stride of its input to the image; None where that is no map of the grid
    after: int | None  # and of its output
    channels: int
    tokens: bool  # its input is [B,N,C]


@dataclass(frozen=True)
class Change:
    """A layer's new geometry."""

    name: str
    stride: int
    dilation: int
    padding: int | str


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
            width = output.shape[1] if isinstance(output, Tensor) and output.ndim > 1 else 0
            tokens = isinstance(given, Tensor) and given.ndim == 3
            calls.setdefault(name, Call(module, stride_of(given), stride_of(output), width, tokens))

        return hook

    handles = [module.register_forward_hook(note(name)) for name, module in net.named_modules()]
    was = net.training
    with torch.no_grad():
        net.eval()(torch.zeros(1, channels, *PROBE, device="meta"))
    net.train(was)
    for handle in handles:
        handle.remove()
    return calls


def stride_of(value: Any) -> int | None:
    """The stride of a map [B,C,h,w] made of the probe image; None where it is none, or isn't exact on both axes."""
    if not isinstance(value, Tensor) or value.ndim != 4:
        return None
    (height, width), (h, w) = PROBE, value.shape[2:]
    return height // h if h and w and height % h == 0 and width % w == 0 and height // h == width // w else None


def level_modules(net: nn.Module, calls: dict[str, Call]) -> dict[str, Call]:
    """The last module of each stride from 2 to 32, shallow first; blocks that halve the grid at most once stay whole."""
    units = set(_units(net, calls, ""))
    last = {call.after: name for name, call in calls.items() if name in units}
    return {last[stride]: calls[last[stride]] for stride in (2, 4, 8, 16, 32) if stride in last}


def _units(module: nn.Module, calls: dict[str, Call], name: str) -> Iterable[str]:
    call = calls.get(name)
    children = [(f"{name}.{child}".lstrip("."), part) for child, part in module.named_children()]
    called = [(path, part) for path, part in children if path in calls]
    if call and call.before and call.after and (call.after <= 2 * call.before or not called):
        return [name]
    return [unit for path, part in called for unit in _units(part, calls, path)]


def dilate(net: nn.Module, calls: dict[str, Call], output_stride: int, *, name: str) -> None:
    """Let no layer's stride go beyond `output_stride`: further strides become dilations, so that no weight changes.

    A layer on a map that would have had stride s gets dilation s / output_stride; that leaves the first block of a
    dilated stage with the previous dilation, as published, and every value at shared positions as it was.

    Args:
        net: the network to change; of the same layers as the one that was observed.
        calls: its undilated form's.
        output_stride: 8, 16 or 32.
        name: of the network, for messages.

    Raises:
        ConfigError: the network can't be dilated; gives the output strides that fit.
    """
    if output_stride not in STRIDES:
        raise ConfigError(f"output stride {output_stride}", where="backbone.output_stride", fix="8, 16 or 32")
    changes = _changes(calls, output_stride)
    if isinstance(changes, str):
        fit = [f"backbone.output_stride={s}" for s in STRIDES if not isinstance(_changes(calls, s), str)]
        raise ConfigError(
            f"{name} can't have output stride {output_stride}: {changes}",
            where="backbone.output_stride",
            fix=" or ".join(fit) or "choose another backbone",
        )
    for change in changes:
        layer: Any = net.get_submodule(change.name)
        layer.stride, layer.dilation, layer.padding = (change.stride,) * 2, (change.dilation,) * 2, change.padding
        if not isinstance(change.padding, str):
            layer.padding = (change.padding,) * 2


def _changes(calls: dict[str, Call], output_stride: int) -> list[Change] | str:
    """What must change for an output stride, or why it can't be had."""
    grid = {n: c for n, c in calls.items() if isinstance(c.module, GRID_LAYERS) and c.before and c.after}
    deep = {n: c for n, c in grid.items() if max(c.before or 0, c.after or 0) > output_stride}
    if deep and any(call.tokens for call in calls.values()):
        return "attention over tokens has no dilation"
    changes = []
    for name, call in deep.items():
        change = _change(name, call, output_stride)
        if isinstance(change, str):
            return change
        changes.append(change)
    return changes


def _change(name: str, call: Call, output_stride: int) -> Change | str:
    layer: Any = call.module
    before = call.before or 1
    kernel, stride, padding, dilation = (_pair(getattr(layer, key, 1)) for key in ("kernel_size", "stride", "padding", "dilation"))
    rate = max(1, before // output_stride)
    step = max(1, output_stride // before) if stride[0] > 1 else 1
    if kernel == (1, 1):
        return Change(name, step, 1, 0)
    if isinstance(layer, nn.AvgPool2d) or (isinstance(layer, nn.MaxPool2d) and rate > 1):
        return f"{name} pools, which can't be dilated"
    if len({*kernel}) > 1 or len({*padding}) > 1:
        return f"{name} has a rectangular kernel"
    if kernel[0] % 2 == 0:
        if isinstance(layer, nn.Conv2d) and padding == (0, 0) and rate == step == 1:
            return Change(name, 1, 1, "same")  # pads at the right and bottom: the shared positions stay
        return f"the {kernel[0]}x{kernel[1]} kernel of {name} has no centre"
    if 2 * padding[0] != dilation[0] * (kernel[0] - 1):
        return f"{name} doesn't keep the size at stride 1"
    return Change(name, step, dilation[0] * rate, padding[0] * rate)


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
