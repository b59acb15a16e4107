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
    """What a cell sees: `pixels` a side of the image through kernels, and the `whole` image through a pooled value.

    `step` is the distance of neighbouring cells in pixels, 0 for values that are pooled over the image.
    """

    pixels: float = 0
    whole: bool = False
    step: float = 0

    def __str__(self) -> str:
        return f"{round(self.pixels)} px{' + image' if self.whole else ''}"


class ReceptiveField(TorchDispatchMode):
    """Follows `Reach` from an image [B,C,H,W] along its height to all that is computed of it within the `with` block.

    A convolution or a pool with kernel k and dilation d on a map whose cells are s apart adds (k - 1) d s; resizing a map adds the
    s between the two cells that are mixed; what has several inputs sees as far as the one that sees farthest (Araujo et al.,
    "Computing Receptive Fields of Convolutional Neural Networks", 2019). A mean over a map sees the whole image.

    Args:
        image: what the network is going to get.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.seen: MutableMapping[Tensor, Reach] = WeakIdKeyDictionary()
        self.seen[image] = Reach(1, step=1)

    def of(self, x: Tensor) -> Reach:
        """What a cell of a tensor sees; nothing where it isn't computed of the image."""
        return self.seen.get(x, Reach())

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = [x for x in _tensors(args) if x in self.seen]
        if inputs:
            seen = [self.of(x) for x in inputs]
            reach = Reach(max(r.pixels for r in seen), any(r.whole for r in seen), max(r.step for r in seen))
            rule = RULES.get(func.overloadpacket)
            reach = rule(reach, args, result) if rule and inputs[0].ndim == 4 else reach
            for output in _tensors((result,)):
                self.seen[output] = reach
        return result


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _kernel(reach: Reach, kernel: int, stride: int, dilation: int = 1) -> Reach:
    return Reach(reach.pixels + (kernel - 1) * dilation * reach.step, reach.whole, reach.step * stride)


def _convolution(reach: Reach, args: tuple[Any, ...], result: Any) -> Reach:
    """`convolution(input, weight, bias, stride, padding, dilation, transposed, ...)`; a transposed one reads kernel / stride cells."""
    kernel, stride, dilation, transposed = args[1].shape[2], args[3][0], args[5][0], args[6]
    if transposed:
        return _kernel(reach, -(-kernel // stride), 1)._replace(step=reach.step / stride)
    return _kernel(reach, kernel, stride, dilation)


def _max_pool(reach: Reach, args: tuple[Any, ...], result: Any) -> Reach:
    """`max_pool2d_with_indices(input, kernel, stride, padding, dilation, ...)`; the stride is the kernel unless given."""
    stride = args[2] if len(args) > 2 and args[2] else args[1]
    return _kernel(reach, args[1][0], stride[0], args[4][0] if len(args) > 4 else 1)


def _average_pool(reach: Reach, args: tuple[Any, ...], result: Any) -> Reach:
    """`avg_pool2d(input, kernel, stride, ...)`."""
    if args[1][0] >= args[0].shape[-2]:
        return _pooled(reach)
    return _kernel(reach, args[1][0], (args[2] if len(args) > 2 and args[2] else args[1])[0])


def _pooled(reach: Reach, args: tuple[Any, ...] = (), result: Any = None) -> Reach:
    return Reach(reach.pixels, True)


def _mean(reach: Reach, args: tuple[Any, ...], result: Any) -> Reach:
    axes = [axis % 4 for axis in args[1]] if len(args) > 1 and args[1] else [0, 1, 2, 3]
    return _pooled(reach) if 2 in axes else reach


def _resize(reach: Reach, args: tuple[Any, ...], result: Any) -> Reach:
    """`upsample_bilinear2d(input, size, align_corners, ...)`: two cells are mixed."""
    rows, made = args[0].shape[-2], result.shape[-2]
    shrink = (rows - 1) / (made - 1) if args[2] and made > 1 else rows / made
    return Reach(reach.pixels + reach.step, reach.whole, reach.step * shrink)


RULES: dict[Any, Callable[[Reach, tuple[Any, ...], Any], Reach]] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _max_pool,
    aten.avg_pool2d: _average_pool,
    aten._adaptive_avg_pool2d: _pooled,
    aten.adaptive_max_pool2d: _pooled,
    aten.mean: _mean,
    aten.upsample_bilinear2d: _resize,
}
