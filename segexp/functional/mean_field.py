"""Fully connected conditional random fields by mean field (Kraehenbuehl & Koltun, 2011)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from segexp.functional.gauss_sums import GaussSums

CERTAIN = 1e-5  # probabilities are taken to be no smaller: one wrong but certain pixel can be outvoted
EXACT_REACH = 9.0  # standard deviations; weights beyond are below 3e-18
CELLS, REACH = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4), 3.0  # of the approximation, in standard deviations
AFFORDED = 5000  # pairs of cells for each pixel

Kernel = Callable[[Tensor], Tensor]  # [K,H,W] to what each pixel hears of all: [K,H,W]


@dataclass(frozen=True)
class Smoothness:
    """Pixels that are near are of one class: `weight` of the kernel, standard deviation `sxy` in pixels."""

    weight: float = 3.0
    sxy: float = 1.0


@dataclass(frozen=True)
class Appearance:
    """Pixels that are near and of like colour are of one class: `sxy` in pixels, `srgb` in grey levels of 0..255."""

    weight: float = 4.0
    sxy: float = 67.0
    srgb: float = 3.0


@torch.no_grad()
def mean_field(
    unary: Tensor,
    image: Tensor,
    *,
    iterations: int = 10,
    gaussian: Smoothness = Smoothness(),
    bilateral: Appearance = Appearance(),
    exact: bool = True,
) -> Tensor:
    """Class probabilities after some iterations, with Potts compatibility and symmetrically normalised kernels.

    Q <- softmax(-unary + sum_m w_m D_m^(-1/2) K_m D_m^(-1/2) Q), where D_m are K_m's row sums, from Q = softmax(-unary).

    Args:
        unary: [K,H,W], costs: the negative logarithm of probabilities.
        image: [C,H,W], 0..255.
        iterations: how often.
        gaussian: the kernel of positions; exact in any case, because it is separable.
        bilateral: the kernel of positions and colours.
        exact: its sums over all pairs of pixels, else over cells of pixels (`GaussSums`).

    Returns:
        float32 [K,H,W].
    """
    with torch.autocast(unary.device.type, enabled=False):
        unary = unary.float()
        kernels: list[tuple[float, Kernel]] = []
        if gaussian.weight:
            kernels.append((gaussian.weight, normalised(positions(unary, gaussian.sxy), unary)))
        if bilateral.weight:
            kernels.append((bilateral.weight, normalised(colours(image.float(), bilateral, exact=exact), unary)))
        belief = (-unary).softmax(0)
        for _ in range(iterations):
            energy = -unary
            for weight, kernel in kernels:
                energy.add_(kernel(belief), alpha=weight)
            belief = energy.softmax(0)
        return belief


def unaries(logits: Tensor) -> Tensor:
    """Costs of the classes: the negative logarithm of their probability, which is taken to be at least `CERTAIN`.

    Args:
        logits: [K,...]. Where one is no number, all classes cost the same.
    """
    known = ~logits.isnan().any(0)
    logits = torch.where(known, logits.float(), 0).clamp(-1e4, 1e4)
    return -logits.softmax(0).clamp(min=CERTAIN).log()


def normalised(kernel: Kernel, like: Tensor) -> Kernel:
    """D^(-1/2) K D^(-1/2) of a kernel K."""
    factor = kernel(torch.ones_like(like[:1])).add_(1e-20).rsqrt_()
    return lambda belief: kernel(belief * factor) * factor


def positions(like: Tensor, sxy: float) -> Kernel:
    """The Gaussian of the distance of pixels: a matrix product along each axis."""
    down, across = (_axis(length, sxy, like) for length in like.shape[-2:])
    return lambda belief: down @ belief @ across


def _axis(length: int, sxy: float, like: Tensor) -> Tensor:
    at = torch.arange(length, dtype=torch.float32, device=like.device) / sxy
    return (at[:, None] - at).square_().mul_(-0.5).exp_()


def colours(image: Tensor, kernel: Appearance, *, exact: bool) -> Kernel:
    """The Gaussian of the distance of pixels in position and colour."""
    points = features(image, kernel)
    sums = GaussSums(points, cell=0.0, reach=EXACT_REACH) if exact else affordable(points)
    return lambda belief: sums(belief.flatten(1)).view(belief.shape)


def affordable(points: Tensor) -> GaussSums:
    """Sums over the smallest cells with which there are no more than `AFFORDED` pairs for each point, else over the largest."""
    sums = GaussSums(points, cell=CELLS[0], reach=REACH)
    for cell in CELLS[1:]:
        if sums.pairs <= AFFORDED * len(points):
            break
        sums = GaussSums(points, cell=cell, reach=REACH)
    return sums


def features(image: Tensor, kernel: Appearance) -> Tensor:
    """Position and colour of every pixel, in standard deviations of a kernel: [N,2+C].

    Colours are turned to their principal axes, which changes no distance, and makes boxes around them small.
    """
    _, height, width = image.shape
    y, x = torch.meshgrid(*(torch.arange(n, device=image.device) for n in (height, width)), indexing="ij")
    colour = image.flatten(1).T / kernel.srgb
    colour = colour - colour.mean(0)
    turned = colour @ torch.linalg.eigh(colour.T @ colour).eigenvectors
    return torch.cat([torch.stack([y, x], -1).flatten(0, 1) / kernel.sxy, turned], 1)
