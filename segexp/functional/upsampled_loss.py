"""Cross-entropy of upsampled logits, without the logits of every pixel in memory.

The plain form keeps the upsampled logits, their log-probabilities and their gradient, each as large as the batch's pixels
times the classes. The fused form makes loss and gradient in one go, a few rows of all images at a time, and keeps only the
gradient at the logits' own size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from segexp.errors import SegexpError
from segexp.functional.resize import HALF, Taps, mixed_rows, shift, taps, to_size, widened

WORKING_SET = 2**21  # values of a strip: it stays in the processor's cache, and kernels take about a millisecond
FUSED_FROM = 2**20  # upsampled values of a batch from which the fused form is the faster one...
CHOSEN_FROM = 2**23  # ... or this many where it goes over the pixels twice, to choose some of them...
FUSED_CLASSES = 16  # ... given so many classes: it works on vectors of classes, which fewer leave half empty
Choose = Callable[[Tensor], Tensor]


class Terms(NamedTuple):
    """What the cross-entropy of a pixel is made of.

    Args:
        ignore_index: the value of pixels without a label.
        class_weights: float32 [K].
        smoothing: share of the target spread evenly over all classes.
        choose: from the loss of each pixel, [B,H,W] and 0 where unlabelled, to each pixel's weight [B,H,W]; in place of
            class weights and smoothing.
    """

    ignore_index: int
    class_weights: Tensor | None = None
    smoothing: float = 0.0
    choose: Choose | None = None


def summed_cross_entropy(
    logits: Tensor, target: Tensor, stride: float, terms: Terms, *, fused: bool = True, aligned: bool = False
) -> Tensor:
    """The sum over labelled pixels of their weight x cross-entropy, after `to_size`.

    Args:
        logits: [B,K,h,w] at `stride`.
        target: int64 [B,H,W].
        stride: pixels per cell.
        terms: classes, weights and smoothing.
        fused: use the fused form where it is faster; it can be differentiated once.
        aligned: as in `to_size`.

    Returns:
        float32 [].

    Raises:
        SegexpError: in a backward pass through the fused form that asks for a graph of its own.
    """
    if fused and is_fused(logits, target, stride, terms):
        with torch.autocast("cpu", enabled=False):
            grid = _Grid(stride, shift(stride, aligned))
            return _Fused.apply(logits.float(), target, grid, terms, torch.is_grad_enabled() and logits.requires_grad)
    full = to_size(logits, stride, tuple(target.shape[-2:]), aligned=aligned).float()  # [B,K,H,W]
    losses = F.cross_entropy(
        full,
        target,
        weight=terms.class_weights,
        ignore_index=terms.ignore_index,
        reduction="none" if terms.choose else "sum",
        label_smoothing=terms.smoothing,
    )  # [B,H,W], or []
    return (losses * terms.choose(losses.detach())).sum() if terms.choose else losses


def is_fused(logits: Tensor, target: Tensor, stride: float, terms: Terms) -> bool:
    """Whether the fused form is the faster one: on a CPU, for many classes, for a batch that doesn't fit into its cache."""
    classes = logits.shape[1]
    if logits.device.type != "cpu" or stride == 1 or classes < FUSED_CLASSES:
        return False
    return classes * target.numel() >= (CHOSEN_FROM if terms.choose else FUSED_FROM)


class _Grid(NamedTuple):
    """Where pixels lie on the logits' grid; see `segexp.functional.resize.taps`."""

    stride: float  # pixels per cell
    shift: float


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: Tensor, target: Tensor, grid: _Grid, terms: Terms, with_gradient: bool) -> Tensor:  # noqa: ANN001
        weights = None
        if terms.choose is not None:
            losses = _losses(logits, target, grid, terms.ignore_index)
            weights = terms.choose(losses)
            if not with_gradient:
                return (losses * weights).sum(dtype=torch.float64).float()
        total, gradient = _sum(logits, target, grid, terms, weights, with_gradient)
        if with_gradient:
            ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN001
        if torch.is_grad_enabled():
            raise SegexpError("the fused loss can't be differentiated twice", where="loss", fix="loss.fused=false")
        return ctx.saved_tensors[0] * gradient, None, None, None, None


class _Strip(NamedTuple):
    """Some rows of all images, N = B x rows x W pixels."""

    start: int
    stop: int
    log_p: Tensor  # [N,K]
    target: Tensor  # int64 [N,1], 0 where unlabelled
    valid: Tensor  # bool [N,1]


def _strips(logits: Tensor, target: Tensor, axis: Taps, grid: _Grid, ignore_index: int) -> Iterator[_Strip]:
    cells = logits.permute(0, 2, 3, 1).contiguous()  # [B,h,w,K]: classes side by side suit every step that follows
    classes, (height, width) = cells.shape[-1], target.shape[1:]
    step = max(WORKING_SET // (len(cells) * width * classes), 1)
    for start in range(0, height, step):
        stop = min(start + step, height)
        thin = mixed_rows(cells, axis, start, stop)  # [B,R,w,K]
        full = widened(thin.permute(0, 3, 1, 2), width, *grid).permute(0, 2, 3, 1)  # [B,R,W,K]
        log_p = torch.log_softmax(full.reshape(-1, classes), 1)
        here = target[:, start:stop].reshape(-1, 1)
        valid = here != ignore_index
        yield _Strip(start, stop, log_p, here * valid, valid)


def _losses(logits: Tensor, target: Tensor, grid: _Grid, ignore_index: int) -> Tensor:
    """The negative log-likelihood of every pixel, 0 where unlabelled: [B,H,W]."""
    axis, parts = taps(target.shape[1], logits.shape[2], *grid), []
    for strip in _strips(logits, target, axis, grid, ignore_index):
        losses = strip.log_p.gather(1, strip.target).neg_().masked_fill_(~strip.valid, 0)
        parts.append(losses.view(len(target), -1, target.shape[2]))
    return torch.cat(parts, 1)


def _sum(
    logits: Tensor, target: Tensor, grid: _Grid, terms: Terms, weights: Tensor | None, with_gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """The loss and, if wanted, its gradient [B,K,h,w]."""
    batch, classes, height, width = logits.shape
    axis = taps(target.shape[1], height, *grid)
    gradient = logits.new_zeros(batch, height, width, classes) if with_gradient else None
    total = torch.zeros((), dtype=torch.float64)
    for strip in _strips(logits, target, axis, grid, terms.ignore_index):
        here = None if weights is None else weights[:, strip.start : strip.stop].reshape(-1, 1)
        shares = _shares(strip, terms, here)
        total += _value(strip, shares)
        if gradient is not None:
            _add_gradient(gradient, _slope(strip, shares), axis, strip, grid)
    return total.float(), None if gradient is None else gradient.permute(0, 3, 1, 2)


class _Shares(NamedTuple):
    """The weights of a pixel's terms."""

    own: Tensor  # [N,1] of its own class; 0 where unlabelled
    all: Tensor | None  # [N,1] of the whole of `spread`; 0 where unlabelled, None without smoothing
    spread: Tensor  # [K] of each class in that


def _shares(strip: _Strip, terms: Terms, weights: Tensor | None) -> _Shares:
    classes, ones = strip.log_p.shape[1], strip.valid.float()
    pixel = ones if weights is None else weights * ones
    own = pixel if terms.class_weights is None else pixel * terms.class_weights[strip.target]
    spread = torch.ones(classes) if terms.class_weights is None else terms.class_weights
    if not terms.smoothing:
        return _Shares(own, None, spread)
    return _Shares(own * (1 - terms.smoothing), pixel * (terms.smoothing / classes), spread)


def _value(strip: _Strip, shares: _Shares) -> Tensor:
    """The loss of a strip: float64 []."""
    own = strip.log_p.gather(1, strip.target).masked_fill_(~strip.valid, 0)
    value = -(own * shares.own).sum(dtype=torch.float64)
    if shares.all is not None:
        every = torch.mv(strip.log_p, shares.spread)[:, None].masked_fill_(~strip.valid, 0)
        value -= (every * shares.all).sum(dtype=torch.float64)
    return value


def _slope(strip: _Strip, shares: _Shares) -> Tensor:
    """The gradient with respect to the logits of each pixel, in place of its log-probabilities: [N,K]."""
    slope = strip.log_p.exp_()
    if shares.all is None:
        return slope.mul_(shares.own).scatter_add_(1, strip.target, -shares.own)
    slope.mul_(shares.own + shares.all * shares.spread.sum()).scatter_add_(1, strip.target, -shares.own)
    return slope.addcmul_(shares.all, shares.spread, value=-1)


def _add_gradient(gradient: Tensor, slope: Tensor, axis: Taps, strip: _Strip, grid: _Grid) -> None:
    """Bring the slope of a strip to the logits' size and add it to `gradient` [B,h,w,K]."""
    batch, _, width, classes = gradient.shape
    rows = strip.stop - strip.start
    full = slope.view(batch, rows, -1, classes).permute(0, 3, 1, 2)  # [B,K,R,W]
    thin = _narrowed(full, width, grid)  # [B,K,R,w]
    low, high, fraction = (x[strip.start : strip.stop] for x in axis[1:])
    first, past, across = int(low[0]), int(high[-1]) + 1, torch.arange(rows)
    spread = torch.zeros(past - first, rows)  # what each row gives to each row of cells
    spread.index_put_((low - first, across), 1 - fraction, accumulate=True)
    spread.index_put_((high - first, across), fraction, accumulate=True)
    gradient[:, first:past] += (spread @ thin.permute(0, 2, 3, 1).reshape(batch, rows, -1)).view(batch, -1, width, classes)


def _narrowed(full: Tensor, width: int, grid: _Grid) -> Tensor:
    """The gradient of `widened`: [B,K,R,W] to [B,K,R,width]."""
    batch, classes, rows, pixels = full.shape
    if grid.shift == HALF:
        sizes = [rows, pixels], [batch, classes, rows, width]
        return torch.ops.aten.upsample_bilinear2d_backward(full, *sizes, False, 1.0, float(grid.stride))
    axis = taps(pixels, width, *grid)
    thin = full.new_zeros(batch, classes, rows, width)
    thin.index_add_(3, axis.low, full * (1 - axis.fraction))
    return thin.index_add_(3, axis.high, full * axis.fraction)
