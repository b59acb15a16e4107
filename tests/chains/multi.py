"""Several heads on the same features: the output is a record, and so is what the loss and the postprocess accept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from segexp.types import Batch, DataSpec, Features, FeatureSpec, Prediction, Sizes, Targets


class MultiHead(nn.Module):
    """Run every part on the same features.

    Args:
        features: what the decoder emits.
        data: the data set's classes.
        parts: name -> a head that lacks only `features` and `data`.
    """

    def __init__(self, features: FeatureSpec, data: DataSpec, *, parts: dict[str, Callable[..., nn.Module]]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({name: make(features, data) for name, make in parts.items()})
        self.output_type = {name: part.output_type for name, part in self.parts.items()}
        self.needs = frozenset().union(*(part.needs for part in self.parts.values()))

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> dict[str, Any]:
        return {name: part(features, sizes, targets) for name, part in self.parts.items()}


class MultiLoss:
    """One loss per part of the record; a term is named `part/term`.

    Args:
        data: the data set.
        parts: name -> a loss that lacks only `data`.
        weights: name -> factor of that part's terms; 1 where it is not named.
    """

    def __init__(self, data: DataSpec, *, parts: dict[str, Callable[..., Any]], weights: dict[str, float] | None = None) -> None:
        self.parts = {name: make(data) for name, make in parts.items()}
        self.weights = weights or {}
        self.accepts = {name: part.accepts for name, part in self.parts.items()}
        self.needs = frozenset().union(*(part.needs for part in self.parts.values()))

    def __call__(self, output: dict[str, Any], batch: Batch) -> dict[str, Tensor]:
        found = {}
        for name, part in self.parts.items():
            weight = self.weights.get(name, 1.0)
            found |= {f"{name}/{term}": weight * value for term, value in part(output[name], batch).items()}
        return found

    def count(self, targets: list[Targets]) -> dict[str, float]:
        return {f"{name}/{term}": n for name, part in self.parts.items() for term, n in part.count(targets).items()}


class UsePart:
    """Answer with one part of the record; the other parts served training only.

    Args:
        data: the data set.
        parts: name -> a postprocess that lacks only `data`; the same names as in the head.
        use: the part that answers.
    """

    def __init__(self, data: DataSpec, *, parts: dict[str, Callable[..., Any]], use: str) -> None:
        made = {name: make(data) for name, make in parts.items()}
        self.accepts = {name: part.accepts for name, part in made.items()}
        self.use, self.part = use, made[use]
        self.provides = self.part.provides

    def __call__(self, output: dict[str, Any], sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        return self.part(output[self.use], sizes, original_sizes)
