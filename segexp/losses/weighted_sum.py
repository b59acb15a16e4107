"""Several losses on the same output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from segexp.errors import ConfigError
from segexp.functional.resize import to_size
from segexp.types import Batch, DataSpec, SemanticLogits, Targets


class WeightedSum(nn.Module):
    """The sum of losses on the same class logits; each has its own `weight`.

    A term is named `<part>/<term>`, or `<part>` alone where the term has that name too (`ce`, `dice`). The logits are
    brought to the input's size once for all parts.

    Args:
        data: the data set's classes.
        parts: name -> a loss on semantic logits that lacks only `data`.

    Raises:
        ConfigError: no part, or one that wants another output.
    """

    accepts = SemanticLogits
    parts: Any  # losses are known by their contract, not by a base class

    def __init__(self, data: DataSpec, *, parts: dict[str, Callable[..., Any]]) -> None:
        super().__init__()
        if not parts:
            raise ConfigError("a sum of no losses", where="loss.parts", fix="name at least one, such as loss=ce_dice")
        made = {name: make(data) for name, make in parts.items()}
        for name, part in made.items():
            if not issubclass(SemanticLogits, part.accepts):
                what = f"{type(part).__name__} reads {part.accepts.__name__}, the parts of a sum read SemanticLogits"
                raise ConfigError(what, where=f"loss.parts.{name}", fix="put the sum inside it, or choose another loss")
        self.needs: frozenset[str] = frozenset().union(*(part.needs for part in made.values()))
        self.parts = nn.ModuleDict(made)

    def forward(self, output: SemanticLogits, batch: Batch) -> dict[str, Tensor]:
        maps = [t.semantic for t in batch.targets]
        size = (max(m.shape[0] for m in maps), max(m.shape[1] for m in maps))
        full = SemanticLogits(to_size(output.logits.float(), output.stride, size, aligned=output.align_corners), 1)
        return {_name(name, term): value for name, part in self.parts.items() for term, value in part(full, batch).items()}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """What each part's terms are divided by."""
        return {_name(name, term): n for name, part in self.parts.items() for term, n in part.count(targets).items()}


def _name(part: str, term: str) -> str:
    return term if part == term else f"{part}/{term}"
