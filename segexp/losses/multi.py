"""A loss for each of several heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from segexp.errors import ConfigError, require_number
from segexp.functional.parts import completed
from segexp.types import Batch, DataSpec, Targets


class MultiLoss(nn.Module):
    """The parts' terms under `<part>/<term>`, times the weight of the part.

    Args:
        data: the data set's classes.
        parts: name of a head's part -> a loss that lacks only `data`.
        weights: of the parts; 1 where none is given.

    Raises:
        ConfigError: there is no part, a weight of none, or one that is no number from 0 on.
        SegexpError: a part refuses what it is given; with the keys of that part.
    """

    parts: Any  # losses are known by their contract, not by a base class

    def __init__(self, data: DataSpec, *, parts: Mapping[str, Callable[..., Any]], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        made, self.weights = completed("loss", parts, data), dict(weights or {})
        for name, weight in self.weights.items():
            if name not in made:
                raise ConfigError("a weight of no part", where=f"loss.weights.{name}={weight}", fix=f"the parts are {', '.join(made)}")
            require_number(f"loss.weights.{name}", weight, f"loss.weights.{name}=1", least=0)
        self.accepts = {name: part.accepts for name, part in made.items()}
        self.needs: frozenset[str] = frozenset().union(*(part.needs for part in made.values()))
        self.needs_things = any(getattr(part, "needs_things", False) for part in made.values())
        self.parts = nn.ModuleDict(made)

    def forward(self, output: dict[str, Any], batch: Batch) -> dict[str, Tensor]:
        sums = {}
        for name, part in self.parts.items():
            weight = self.weights.get(name, 1.0)
            sums |= {f"{name}/{term}": weight * value for term, value in part(output[name], batch).items()}
        return sums

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """What each part's terms are divided by."""
        return {f"{name}/{term}": n for name, part in self.parts.items() for term, n in part.count(targets).items()}
