"""How much of the image one cell of a map sees, followed through a network on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

aten: Any = torch.ops.aten


class Reach(NamedTuple):
    """What a cell sees: `pixels` a side of the image through kernels, and the `whole` image through a pooled value."""

    pixels: float = 0
    whole: bool = False

    def __str__(self) -> str:
        return f"{round(self.pixels)} px{' + image' if self.whole else ''}"


class ReceptiveField(TorchDispatchMode):
    """Follows `Reach` from an image [B,C,H,W] along its height to all that is computed of it within the `with` block.

    A convolution or a pool with kernel k and dilation d on a map of stride s adds (k - 1) d s; resizing a map adds the stride
    between two cells that are mixed; what has several inputs sees as far as the one that sees farthest (Araujo et al.,
    "Computing Receptive Fields of Convolutional Neural Networks", 2019). A mean over a map sees the whole image.

    Args:
        image: what the network is going to get.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.height = image.shape[-2]
        self.seen: MutableMapping[Tensor, Reach] = WeakIdKeyDictionary()
        self.seen[image] = Reach(1)

    def of(self, x: Tensor) -> Reach:
        """What a cell of a tensor sees; nothing where it isn't computed of the image."""
        return self.seen.get(x, Reach())

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = [x for x in _tensors(args) if x in self.seen]
        if inputs:
            reach = Reach(max(self.of(x).pixels for x in inputs), any(self.of(x).whole for x in inputs))
            rule = RULES.get(func.overloadpacket)
            reach = rule(reach, self.height / inputs[0].shape[-2], args, result) if rule and inputs[0].ndim == 4 else reach
            for output in _tensors((result,)):
                self.seen[output] = reach
        return result


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _convolution(reach: Reach, stride: float, args: tuple[Any, ...], result: Any) -> Reach:
    """`convolution(input, weight, bias, stride, padding, dilation, transposed, ...)`."""
    kernel, dilation, transposed = args[1].shape[2], args[5][0], args[6]
    return Reach(reach.pixels + (0 if transposed else (kernel - 1) * dilation * stride), reach.whole)


def _max_pool(reach: Reach, stride: float, args: tuple[Any, ...], result: Any) -> Reach:
    """`max_pool2d_with_indices(input, kernel, stride, padding, dilation, ...)`."""
    dilation = args[4][0] if len(args) > 4 else 1
    return Reach(reach.pixels + (args[1][0] - 1) * dilation * stride, reach.whole)


def _average_pool(reach: Reach, stride: float, args: tuple[Any, ...], result: Any) -> Reach:
    if args[1][0] >= args[0].shape[-2]:
        return Reach(reach.pixels, True)
    return Reach(reach.pixels + (args[1][0] - 1) * stride, reach.whole)


def _grid_of_means(reach: Reach, stride: float, args: tuple[Any, ...], result: Any) -> Reach:
    return Reach(reach.pixels, True)


def _mean(reach: Reach, stride: float, args: tuple[Any, ...], result: Any) -> Reach:
    axes = [axis % 4 for axis in args[1]] if len(args) > 1 and args[1] else [0, 1, 2, 3]
    return Reach(reach.pixels, reach.whole or 2 in axes)


def _resize(reach: Reach, stride: float, args: tuple[Any, ...], result: Any) -> Reach:
    """Bilinear: two cells are mixed; a pooled value that is spread mixes nothing."""
    return Reach(reach.pixels + (stride if args[0].shape[-2] > 1 else 0), reach.whole)


RULES: dict[Any, Callable[[Reach, float, tuple[Any, ...], Any], Reach]] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _max_pool,
    aten.avg_pool2d: _average_pool,
    aten._adaptive_avg_pool2d: _grid_of_means,
    aten.adaptive_max_pool2d: _grid_of_means,
    aten.mean: _mean,
    aten.upsample_bilinear2d: _resize,
}
