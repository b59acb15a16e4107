"""Cross-validation for any data set: `train` and `val` are parts of its own `train` split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from segexp.errors import ConfigError
from segexp.functional.keys import generator
from segexp.types import DataSpec


class Folds:
    """A data set of which one fold is `val` and the others are `train`; its other splits stay as they are.

    The division is a permutation keyed by (seed, folds): it is the same for all folds, and over these each sample is
    in `val` once. The set's own `val` isn't read.

    Args:
        dataset: gives `spec`, `splits`, `open(split)`, `fingerprint()`; and `undivided()`, the whole of `train`, if it takes
            a `val` of its own from that by chance.
        folds: how many parts.
        fold: which of them is `val`.
        seed: of the division.

    Raises:
        ConfigError: fewer than two folds, or no such fold.
    """

    def __init__(self, dataset: Any, folds: int, fold: int, seed: int) -> None:
        if type(folds) is not int or folds < 2:
            raise ConfigError("there are at least two folds", where=f"data.folds={folds}", fix="data.folds=5, or null for none")
        if type(fold) is not int or not 0 <= fold < folds:
            raise ConfigError(f"{folds} folds are 0..{folds - 1}", where=f"data.fold={fold}", fix=f"data.fold=range(0,{folds}) with -m")
        self.dataset, self.folds, self.fold, self.seed = dataset, folds, fold, seed

    @property
    def spec(self) -> DataSpec:
        """The classes."""
        return self.dataset.spec

    @property
    def splits(self) -> tuple[str, ...]:
        """`train`, `val`, and what else the data set has."""
        return ("train", "val", *(name for name in self.dataset.splits if name not in ("train", "val")))

    def open(self, split: str) -> Any:
        """A part of the data set's `train`, or another of its splits.

        Raises:
            ConfigError: it has no such split, or fewer training samples than folds.
        """
        if split not in ("train", "val"):
            return self.dataset.open(split)
        whole = self.dataset.undivided() if hasattr(self.dataset, "undivided") else self.dataset.open("train")
        if len(whole) < self.folds:
            what = f"{len(whole)} training samples can't be divided into {self.folds} folds"
            raise ConfigError(what, where=f"data.folds={self.folds}", fix=f"data.folds={max(2, len(whole))} or fewer")
        order = torch.randperm(len(whole), generator=generator(self.seed, "folds", self.folds)).tolist()
        held = order[self.fold :: self.folds]
        chosen = sorted(held) if split == "val" else sorted(set(order).difference(held))
        return (FilePart if hasattr(whole, "paths") else Part)(whole, chosen)

    def fingerprint(self) -> str:
        """That of the data set."""
        return self.dataset.fingerprint()


class Part:
    """Some samples of a split, under their own ids.

    Args:
        whole: the split.
        indices: which samples.
    """

    def __init__(self, whole: Any, indices: list[int]) -> None:
        self.whole, self.indices = whole, torch.tensor(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def id(self, index: int) -> str:
        """The sample's id in its split."""
        return self.whole.id(int(self.indices[index]))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.whole[int(self.indices[index])]


class FilePart(Part):
    """A part of a split of files."""

    def paths(self, index: int) -> tuple[Path, Path | None]:
        """The picture and the label file of a sample."""
        return self.whole.paths(int(self.indices[index]))
