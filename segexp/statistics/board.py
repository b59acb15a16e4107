"""What a comparison of runs says: settings, pairs of them, and the board that holds both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One setting: the runs that differ in nothing but the seed.

    Args:
        label: what tells it from the other settings, such as `backbone.name=resnet50`.
        overrides: what was typed for its first run, without the seed.
        settings: the keys in which the settings of the board differ, and the values here; None where the key is absent.
        runs: the directories, in the order of their seeds.
        seeds: one per run.
        values: the figure of each run, of the whole data set.
        mean: of the values.
        sd: standard deviation over the seeds (n - 1); None with one seed.
        low, high: the 95 % interval of the mean; None where it wasn't computed.
        parameters: of the model; None where a run doesn't say.
        seconds: of training and validation, the mean over the runs; None where a run doesn't say.
    """

    label: str
    overrides: tuple[str, ...]
    settings: Mapping[str, Any]
    runs: tuple[Path, ...]
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    parameters: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Pair:
    """Two settings on the same images.

    Args:
        a, b: places in `Leaderboard.entries`, a < b: a has the better figure.
        difference: a's figure minus b's: below 0 where less is better.
        low, high: its 95 % interval, of this pair alone.
        p: how often chance gives a difference as large either way.
        p_holm: the same, corrected for the number of pairs on the board (Holm).
        supported: a is better than b, with `p_holm` below 0.05.
    """

    a: int
    b: int
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    supported: bool


@dataclass(frozen=True)
class Leaderboard:
    """Settings, best first.

    Args:
        figure: such as `val/miou`.
        higher_is_better: of the figure.
        entries: the settings.
        pairs: those that could be compared.
        images: on which the intervals rest; 0 where none was computed.
        notes: what a reader must know: runs left out, settings that can't be compared, too few images or seeds.
    """

    figure: str
    higher_is_better: bool
    entries: tuple[Entry, ...]
    pairs: tuple[Pair, ...] = ()
    images: int = 0
    notes: tuple[str, ...] = field(default=())

    def not_worse(self) -> tuple[int, ...]:
        """The best entry and those of which it isn't supported that they are worse than the best."""
        if not self.entries:
            return ()
        worse = {pair.b for pair in self.pairs if pair.a == 0 and pair.supported}
        known = {pair.b for pair in self.pairs if pair.a == 0}
        return (0, *(place for place in range(1, len(self.entries)) if place in known - worse))
