"""The paired bootstrap: how far a figure of a data set would move with other images and other seeds.

Images are drawn with replacement, as many as there are; how often each was drawn is its weight. All models share the weights, so
that what makes an image hard for all of them cancels in a difference. Of three runs or more, seeds are drawn as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

Figure = Callable[[np.ndarray], np.ndarray]  # weights float64 [R,N] of images -> figures of the data set, float64 [R]

LEVEL = 0.95
FEW_SEEDS = 3  # from which on seeds are drawn
FEW_IMAGES = 100  # below which an interval is to be read with a warning
TAIL = 10  # resamples beyond zero below which their number says too little
_CELLS = 2**20  # weights in one piece
_KEPT = 2**27  # bytes of weights that are kept rather than drawn again


class Resamples:
    """Weights of images, the same each time that they are gone through.

    Args:
        images: N of them.
        count: R resamples.
        seed: of the draws.
    """

    def __init__(self, images: int, count: int, seed: int = 0) -> None:
        self.images, self.count, self.seed = images, count, seed
        self._kept = list(self._pieces()) if images * count <= _KEPT else None

    def of(self, figure: Figure) -> np.ndarray:
        """The figure in each resample: float64 [R]."""
        pieces = self._pieces() if self._kept is None else self._kept
        return np.concatenate([figure(piece.astype(np.float64)) for piece in pieces])

    def _pieces(self) -> Iterator[np.ndarray]:
        """Weights uint8 [r,N], a few resamples at a time; float64 holds sums of them times pixels exactly."""
        draws, rows = np.random.default_rng(self.seed), max(1, _CELLS // self.images)
        for begin in range(0, self.count, rows):
            size = min(rows, self.count - begin)
            drawn = draws.integers(self.images, size=(size, self.images)) + self.images * np.arange(size)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=size * self.images).reshape(size, self.images)
            yield counts.astype(np.uint8)  # 256 of one image among N don't occur


class Sampled(NamedTuple):
    """A setting's figure, and how it moves.

    Args:
        estimate: the mean over the runs.
        by_seed: float64 [R], how far drawing other seeds moves it; 0 with fewer than three.
        by_image: float64 [R], how far drawing other images moves it.
        seeds: runs.
        images: N.
    """

    estimate: float
    by_seed: np.ndarray
    by_image: np.ndarray
    seeds: int
    images: int


class Interval(NamedTuple):
    """An estimate, its 95 % interval, and how often chance alone would be as far from zero (two-sided)."""

    estimate: float
    low: float
    high: float
    p: float


def sampled(values: Sequence[float], resampled: np.ndarray, images: int, seed: int = 0) -> Sampled:
    """The movements of a setting's mean over its runs: seeds are drawn first, then images.

    Both are widened by sqrt(n / (n - 1)), since n draws of n spread that much less than n new ones.

    Args:
        values: S figures of the whole data set, one per run.
        resampled: float64 [S,R] figures of the resamples.
        images: N.
        seed: of drawing seeds; different for each setting, since its runs share nothing with those of others.
    """
    exact = np.asarray(values, dtype=np.float64)
    runs, count = resampled.shape
    moved = (resampled - exact[:, None]) * np.sqrt(images / max(images - 1, 1))
    if runs < FEW_SEEDS:
        return Sampled(float(exact.mean()), np.zeros(count), moved.mean(0), runs, images)
    drawn = np.random.default_rng(seed).multinomial(runs, np.full(runs, 1 / runs), size=count) / runs  # [R,S]
    by_seed = (drawn @ exact - exact.mean()) * np.sqrt(runs / (runs - 1))
    return Sampled(float(exact.mean()), by_seed, (drawn.T * moved).sum(0), runs, images)


def interval(a: Sampled, b: Sampled | None = None) -> Interval:
    """The 95 % interval of a figure, or of the difference of two on the same images.

    Percentiles of the resamples, widened as Student's t is wider than the normal distribution: with few images or seeds what is
    estimated from them is their spread as well. Resamples in which the figure isn't defined are left out.

    Returns:
        NaN for the ends and 1 for p where the figure is defined in less than half of the resamples, or there is one image.
    """
    parts, estimate = [(a.by_image, a.images - 1), (a.by_seed, a.seeds - 1)], a.estimate
    if b is not None:
        parts = [(a.by_image - b.by_image, a.images - 1), (a.by_seed, a.seeds - 1), (-b.by_seed, b.seeds - 1)]
        estimate -= b.estimate
    moved = np.sum([part for part, _ in parts], axis=0)  # [R]
    defined = np.isfinite(moved)
    if a.images < 2 or 2 * defined.sum() < len(moved) or not np.isfinite(estimate):
        return Interval(estimate, np.nan, np.nan, 1.0)
    freedom = _freedom([(float(part[defined].var()), degrees) for part, degrees in parts])
    moved = moved[defined] * _widening(freedom)
    low, high = estimate + np.quantile(moved, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(estimate, float(low), float(high), _chance(estimate, moved, freedom))


def holm(chances: Sequence[float]) -> np.ndarray:
    """Holm's correction: each p as if the others were asked as well, float64 [M]."""
    found = np.asarray(chances, dtype=np.float64)
    order = np.argsort(found, kind="stable")
    corrected = np.empty_like(found)
    corrected[order] = np.minimum(1, np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1)))
    return corrected


def _freedom(parts: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom of a sum of variances that are estimated each from its own number of draws (Satterthwaite)."""
    known = [(variance, degrees) for variance, degrees in parts if variance > 0 and degrees > 0]
    total = sum(variance for variance, _ in known)
    return total**2 / sum(variance**2 / degrees for variance, degrees in known) if known else float("inf")


def _widening(freedom: float) -> float:
    from scipy.special import ndtri, stdtrit

    wanted = (1 + LEVEL) / 2
    return float(stdtrit(freedom, wanted) / ndtri(wanted)) if np.isfinite(freedom) else 1.0


def _chance(estimate: float, moved: np.ndarray, freedom: float) -> float:
    """Two-sided p: the share of resamples beyond zero; where hardly one is, the tail of Student's t with their spread."""
    from scipy.special import stdtr

    beyond = min(int((estimate + moved <= 0).sum()), int((estimate + moved >= 0).sum()))
    counted = min(1.0, 2 * (beyond + 1) / (len(moved) + 1))
    spread = float(moved.std()) / _widening(freedom)
    if beyond >= TAIL or spread == 0 or not np.isfinite(freedom):
        return counted
    return 2 * float(stdtr(freedom, -abs(estimate) / spread))
