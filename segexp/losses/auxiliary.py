"""Deep supervision: a loss on the output, and one on the outputs of auxiliary heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from segexp.errors import ConfigError
from segexp.types import AuxiliaryLogits, Batch, DataSpec, SemanticLogits, Targets


class Auxiliary(nn.Module):
    """The main loss on the output plus `weight` x the auxiliary loss on each auxiliary output.

    The auxiliary terms of all heads are added up under `aux/<term>`.

    Args:
        data: the data set's classes.
        main: a loss that lacks only `data`.
        aux: the loss of the auxiliary heads, lacking only `data`.
        weight: of the auxiliary loss; 0.4 in PSPNet (Zhao et al., 2017).

    Raises:
        ConfigError: one of the losses doesn't read semantic logits.
    """

    accepts = AuxiliaryLogits
    main: Any  # losses are known by their contract, not by a base class
    aux: Any

    def __init__(self, data: DataSpec, *, main: Callable[..., Any], aux: Callable[..., Any], weight: float = 0.4) -> None:
        super().__init__()
        self.main, self.aux, self.weight = main(data), aux(data), weight
        for name, loss in (("main", self.main), ("aux", self.aux)):
            if not issubclass(SemanticLogits, loss.accepts):
                what = f"{type(loss).__name__} reads {loss.accepts.__name__}, here it gets SemanticLogits"
                raise ConfigError(what, where=f"loss.{name}", fix="choose a loss of one output")
        self.needs: frozenset[str] = self.main.needs | self.aux.needs

    def forward(self, output: AuxiliaryLogits, batch: Batch) -> dict[str, Tensor]:
        sums = self.main(output, batch)
        for logits in output.aux.values():
            for term, value in self.aux(logits, batch).items():
                sums[f"aux/{term}"] = sums.get(f"aux/{term}", 0) + self.weight * value
        return sums

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """What the terms are divided by; the auxiliary ones by the count of one head."""
        return self.main.count(targets) | {f"aux/{term}": n for term, n in self.aux.count(targets).items()}
