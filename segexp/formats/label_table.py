"""Image labels as a table: a line for each picture, with its class or classes and the best scores."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

from segexp.types import DataSpec

BEST = 5  # scores that are listed
SHOWN = 0.5  # of several classes, those from this score on are shown
BETWEEN = ";"  # of several classes, as `data=csv` reads them


class LabelTable:
    """Write `labels.csv` in a `with` block: `image,label`, then class and score of the best five.

    `label` is the class with the highest score, or of a picture that may show several those with at least 0.5, as `data=csv`
    reads them. Of equal scores the lower class id goes first.

    Args:
        file: that is written; an older one is replaced.
        spec: the classes.
        several: may a picture show several classes?
    """

    def __init__(self, file: Path, spec: DataSpec, *, several: bool) -> None:
        self.file, self.names, self.several = file, spec.names, several

    def __enter__(self) -> Self:
        self.stream = self.file.open("w", newline="", encoding="utf-8")
        self.writer = csv.writer(self.stream)
        numbered = [f"{name}{i + 1}" for i in range(min(BEST, len(self.names))) for name in ("class", "score")]
        self.writer.writerow(["image", "label", *numbered])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stream.close()

    def add(self, name: str, scores: Tensor) -> None:
        """The line of one picture, of scores float32 [K]."""
        order = scores.argsort(descending=True, stable=True).tolist()
        best = [cell for i in order[:BEST] for cell in (self.names[i], f"{float(scores[i]):.6f}")]
        self.writer.writerow([name, BETWEEN.join(self._chosen(scores, order)), *best])

    def _chosen(self, scores: Tensor, order: Sequence[int]) -> list[str]:
        if not self.several:
            return [self.names[order[0]]]
        return [name for name, score in zip(self.names, scores.tolist(), strict=True) if score >= SHOWN]
