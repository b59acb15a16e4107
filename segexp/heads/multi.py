"""Several heads on the same features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from segexp.functional.parts import completed
from segexp.types import DataSpec, Features, FeatureSpec, Sizes, Targets


class MultiHead(nn.Module):
    """A record of what each part emits, by name.

    Args:
        features: what the decoder and the backbone emit.
        data: the data set's classes.
        parts: name -> a head that lacks only `features` and `data`.

    Raises:
        ConfigError: there is no part.
        SegexpError: a part refuses what it is given; with the keys of that part.
    """

    parts: Any  # heads are known by their contract, not by a base class

    def __init__(self, features: FeatureSpec, data: DataSpec, *, parts: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__()
        made = completed("head", parts, features, data)
        self.output_type = {name: part.output_type for name, part in made.items()}
        self.needs: frozenset[str] = frozenset().union(*(part.needs for part in made.values()))
        self.align_corners = any(getattr(part, "align_corners", False) for part in made.values())
        self.parts = nn.ModuleDict(made)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> dict[str, Any]:
        return {name: part(features, sizes, targets) for name, part in self.parts.items()}
