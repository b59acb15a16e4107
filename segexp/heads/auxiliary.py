"""A head with others beside it that serve training only (deep supervision)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from segexp.errors import ConfigError
from segexp.types import AuxiliaryLogits, DataSpec, Features, FeatureSpec, SemanticLogits, Sizes, Targets

MAIN = "main"


class AuxiliaryHead(nn.Module):
    """The output of the part `main`, with those of all others where targets are given; else the others aren't computed.

    Args:
        features: what the decoder and the backbone emit.
        data: the data set's classes.
        parts: `main` and any others: name -> a head of semantic logits that lacks only `features` and `data`.

    Raises:
        ConfigError: there is no `main`, nothing beside it, or a part that emits something else.
        WiringError: a part's level isn't there.
    """

    output_type = AuxiliaryLogits
    parts: Any  # heads are known by their contract, not by a base class

    def __init__(self, features: FeatureSpec, data: DataSpec, *, parts: dict[str, Callable[..., Any]]) -> None:
        super().__init__()
        if MAIN not in parts or len(parts) < 2:
            given = ", ".join(parts) or "none"
            raise ConfigError(f"it needs the part {MAIN} and one more", where=f"head.parts: {given}", fix="head=semantic_aux has both")
        made = {name: make(features, data) for name, make in parts.items()}
        for name, part in made.items():
            if not (isinstance(part.output_type, type) and issubclass(part.output_type, SemanticLogits)):
                what = f"{type(part).__name__} doesn't emit semantic logits"
                raise ConfigError(what, where=f"head.parts.{name}", fix="choose a head that does, such as semantic or fcn")
        self.needs: frozenset[str] = frozenset().union(*(part.needs for part in made.values()))
        self.parts = nn.ModuleDict(made)
        self.align_corners = getattr(made[MAIN], "align_corners", False)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> AuxiliaryLogits:
        main = self.parts[MAIN](features, sizes, targets)
        others = [] if targets is None else [name for name in self.parts if name != MAIN]
        aux = {name: self.parts[name](features, sizes, targets) for name in others}
        return AuxiliaryLogits(main.logits, main.stride, aux, align_corners=main.align_corners)
