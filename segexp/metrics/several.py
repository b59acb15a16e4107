"""Several metrics over one prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torchmetrics import MetricCollection

from segexp.errors import ConfigError
from segexp.types import Prediction, Targets

Record = dict[str, dict[str, Tensor]]  # metric -> statistic -> counts of one image


class Metrics(MetricCollection):
    """The metrics of a run: each image is measured once; the data set's figures follow from the sums of the records.

    Args:
        parts: name -> metric, as `metrics=[semantic,panoptic]` composes them.
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        super().__init__(dict(parts), compute_groups=False)
        self.needs: frozenset[str] = frozenset().union(*(part.needs for part in parts.values()))

    def parts(self) -> list[tuple[str, Any]]:
        """The metrics by name."""
        return list(self.items())

    def measure(self, prediction: Prediction, truth: Targets) -> Record:
        """What each metric has to know of one image."""
        return {name: part.measure(prediction, truth) for name, part in self.parts()}

    def update(self, records: list[Record]) -> None:
        for name, part in self.parts():
            part.update([record[name] for record in records])

    def compute(self) -> dict[str, Tensor]:
        figures: dict[str, Tensor] = {}
        for name, part in self.parts():
            fresh = part.compute()
            if clash := figures.keys() & fresh.keys():
                raise ConfigError(f"two metrics give {', '.join(sorted(clash))}", where=f"metrics, {name}", fix="remove one of them")
            figures |= fresh
        return figures
