"""Are the intervals right, and fast? Simulated models whose true difference is known, and a leaderboard of 20 from files.

    python -m tests.benchmarks.bootstrap

Goals: with 100 images, two equal models are called different in at most 7 % of 300 simulations and a true +3 mIoU is found in at
least 90 %; 20 models, 190 pairs and 10,000 resamples take less than 5 s.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segexp.functional.bootstrap import Resamples, Sampled, interval, sampled
from segexp.functional.weighted import pooled
from segexp.statistics.figures import whole

CLASSES = 11
SHARES = np.geomspace(1, 0.03, CLASSES) / np.geomspace(1, 0.03, CLASSES).sum()  # of the pixels: as in street scenes, few are of rare ones
PIXELS = 50_000
MANY = 10_000  # images on which the true figure is measured


class World(NamedTuple):
    """What is seen of a data set: pixels of each class, and how hard each image is; [N,K] both."""

    labelled: np.ndarray
    hardness: np.ndarray


def world(rng: np.random.Generator, images: int) -> World:
    """Images: a rare class is in few of them, and what is hard is hard for every model."""
    there = rng.random((images, CLASSES)) < np.clip(np.sqrt(SHARES) * 2, 0.3, 1)
    pixels = rng.gamma(1.0, PIXELS * SHARES, (images, CLASSES)) * there
    hardness = rng.normal(0, 0.7, (images, 1)) + rng.normal(0, 0.7, (images, CLASSES))
    return World(np.round(pixels), hardness)


def model(rng: np.random.Generator, seen: World, skill: float) -> tuple[np.ndarray, np.ndarray]:
    """Intersection and union of a model's classes in each image: its own luck on top of the image's hardness."""
    luck = rng.normal(0, 0.35, seen.labelled.shape)
    hit = np.round(seen.labelled / (1 + np.exp(-(skill + seen.hardness + luck))))
    missed = (seen.labelled - hit).sum(1, keepdims=True)
    wrong = np.round(missed * rng.dirichlet(300 * SHARES, len(hit)))
    return hit, seen.labelled + wrong


def true_figure(skill: float) -> float:
    """The mIoU of a model on more images than anybody has."""
    rng = np.random.default_rng(99)
    return whole(pooled(*model(rng, world(rng, MANY), skill)), MANY)


def skill_of(figure: float) -> float:
    """The skill that has a true mIoU, by halving."""
    low, high = -1.0, 5.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if true_figure(middle) < figure else (low, middle)
    return (low + high) / 2


def one_side(rng: np.random.Generator, seen: World, skills: list[float], resamples: Resamples, seed: int) -> Sampled:
    """A setting: one model per seed, with these skills."""
    figures = [pooled(*model(rng, seen, skill)) for skill in skills]
    values = [whole(figure, resamples.images) for figure in figures]
    return sampled(values, np.stack([resamples.of(figure) for figure in figures]), resamples.images, seed)


def called(images: int, skills: tuple[float, float], *, times: int = 300, count: int = 1000, seeds: int = 1, noise: float = 0.0) -> float:
    """How often two models are called different.

    Args:
        images: of the data set.
        skills: of the two.
        times: simulations.
        count: resamples.
        seeds: runs of each model.
        noise: standard deviation of a run's skill.
    """
    found = 0
    for number in range(times):
        rng = np.random.default_rng([images, number])
        seen, resamples = world(rng, images), Resamples(images, count, number)
        sides = [
            one_side(rng, seen, list(skill + noise * rng.normal(size=seeds)), resamples, 2 * number + side)
            for side, skill in enumerate(skills)
        ]
        found += interval(*sides).p < 0.05
    return found / times


def covered(images: int, skill: float, *, times: int = 300, count: int = 1000) -> float:
    """How often the interval of one model's mIoU holds the true one."""
    true, found = true_figure(skill), 0
    for number in range(times):
        rng = np.random.default_rng([images, number])
        one = interval(one_side(rng, world(rng, images), [skill], Resamples(images, count, number), number))
        found += one.low <= true <= one.high
    return found / times


def board_seconds(place: Path, *, models: int = 20, images: int = 500, classes: int = 19, seeds: int = 1) -> tuple[float, float, int]:
    """Seconds on the clock and of the processor for a leaderboard from files, torch imported before, and its pairs."""
    from segexp.statistics.leaderboard import leaderboard
    from tests.statistics.made import counts, write_run

    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, 0.15, images)
    runs = [
        write_run(place / f"run-{m}-{s}", counts(rng, images, classes, 0.7, difficulty), seed=s, words=[f"x={m}"], leaves={"x": m})
        for m in range(models)
        for s in range(seeds)
    ]
    leaderboard(runs[:2], resamples=10)
    began, worked = time.perf_counter(), time.process_time()
    board = leaderboard(runs)
    return time.perf_counter() - began, time.process_time() - worked, len(board.pairs)


def spread(skill: float) -> float:
    """Standard deviation of the difference of two models on 100 images, by the width of its interval."""
    rng, resamples = np.random.default_rng(0), Resamples(100, 1000)
    seen = world(rng, 100)
    one = interval(*(one_side(rng, seen, [skill], resamples, side) for side in range(2)))
    return (one.high - one.low) / 3.92


def main() -> None:
    base, better = skill_of(0.60), skill_of(0.63)
    print(f"two models of true mIoU {true_figure(base):.3f}, and one of {true_figure(better):.3f}; 300 simulations each, fixed seeds")
    print(f"the difference on 100 images has a standard deviation of {100 * spread(base):.2f} mIoU (two real CamVid runs: 0.44)")
    for images in (20, 50, 100, 500):
        same, apart, held = called(images, (base, base)), called(images, (base, better)), covered(images, base)
        goal = "  (goals: <= 7 %, >= 90 %)" if images == 100 else ""
        print(f"{images:4} images: equal called different {same:.1%}, +3 found {apart:.1%}, truth covered {held:.1%}{goal}")
    for seeds in (3, 5, 1):
        same = called(100, (base, base), seeds=seeds, noise=0.05)
        hint = "" if seeds > 1 else ": what an interval over images can't see"
        print(f" 100 images, {seeds} seeds each that differ by 1 mIoU: equal called different {same:.1%}{hint}")
    for seeds in (1, 3):
        with tempfile.TemporaryDirectory() as place:
            clock, worked, pairs = board_seconds(Path(place), seeds=seeds)
        what = f"20 models x {seeds} seeds, 500 images, 19 classes, {pairs} pairs, 10,000 resamples"
        print(f"{what}: {clock:.1f} s, {worked:.1f} s of the processor (goal: < 5 s)")


if __name__ == "__main__":
    main()
