"""Distances between the outlines of classes, in pixels: what medical work reports beside Dice."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor
from torchmetrics import Metric

from segexp.errors import ConfigError
from segexp.functional.bootstrap import Figure
from segexp.functional.weighted import Record, column, named, total
from segexp.types import DataSpec, Prediction, Targets


class SurfaceMetrics(Metric):
    """`hd95 assd hd95/<class> assd/<class> surface_missing surface_missing/<class>`, by MONAI's functions.

    An outline is the set of a mask's pixels that touch something else. From each of its pixels the Euclidean distance to
    the other outline is taken, in pixels. `hd95` is the larger of the two 95th percentiles, truth to prediction and
    prediction to truth (the symmetric Hausdorff distance at 95 %: `directed=False`); `assd` is the mean over the distances
    of both directions (average symmetric surface distance).

    Per class both are means over the images in which truth and prediction hold the class; over classes, means of those.
    An image in which one of the two alone holds it has no distance: it is counted in `surface_missing`, which belongs
    beside every figure that is reported. Pixels without label are in no mask, whatever is predicted there. Less is better.

    Args:
        data: the data set's classes.

    Raises:
        ConfigError: MONAI isn't installed.
    """

    needs = frozenset({"semantic"})
    full_state_update = False
    higher_is_better = False
    hd95: Tensor
    assd: Tensor
    both: Tensor
    missing: Tensor

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        if find_spec("monai") is None:
            raise ConfigError("metrics=[surface] needs MONAI", where="metrics", fix="pip install 'segexp[medical]'")
        self.names, self.ignore_index = data.names, data.ignore_index
        for name, kind in (("hd95", torch.float64), ("assd", torch.float64), ("both", torch.int64), ("missing", torch.int64)):
            self.add_state(name, torch.zeros(data.num_classes, dtype=kind), dist_reduce_fx="sum")

    def measure(self, prediction: Prediction, truth: Targets) -> dict[str, Tensor]:
        """Of one image, per class [K]: `hd95` and `assd` float64, 0 where there is none; int64 `both` and `missing`, 0 or 1."""
        real = truth.semantic.cpu()
        guess = torch.where(real == self.ignore_index, self.ignore_index, prediction.semantic.cpu())
        has_real, has_guess = (torch.zeros(len(self.names), dtype=torch.bool).index_fill_(0, self._classes(x), True) for x in (real, guess))
        record = {name: torch.zeros(len(self.names), dtype=torch.float64) for name in ("hd95", "assd")}
        shared = (has_real & has_guess).nonzero().flatten()  # [S]
        if len(shared):
            record["hd95"][shared], record["assd"][shared] = distances(guess == shared[:, None, None], real == shared[:, None, None])
        return record | {"both": (has_real & has_guess).long(), "missing": (has_real ^ has_guess).long()}

    def update(self, records: list[dict[str, Tensor]]) -> None:
        for record in records:
            for name, values in record.items():
                setattr(self, name, getattr(self, name) + values.to(self.device))

    def compute(self) -> dict[str, Tensor]:
        figures: dict[str, Tensor] = {}
        for kind, means in (("hd95", self.hd95 / self.both), ("assd", self.assd / self.both)):  # 0 / 0 = NaN: in no image
            figures |= {kind: means.nanmean()} | {f"{kind}/{name}": value for name, value in zip(self.names, means, strict=True)}
        missing = {f"surface_missing/{name}": count for name, count in zip(self.names, self.missing, strict=True)}
        return figures | {"surface_missing": self.missing.sum()} | missing

    def weighted(self, figure: str, records: Sequence[Record]) -> Figure | None:
        """The figure of this name, given how often each image counts; None if it is none of these."""
        hd95, assd, both, missing = (column(records, name) for name in ("hd95", "assd", "both", "missing"))  # [N,K]
        kind, _, name = figure.partition("/")
        if kind == "surface_missing" and name in ("", *self.names):
            return total(missing[:, self.names.index(name)] if name else missing.sum(1))
        means = {"hd95": (hd95, both), "assd": (assd, both)}
        return named(figure, means, means, self.names)

    def _classes(self, labels: Tensor) -> Tensor:
        values = labels.unique().long()
        return values[values != self.ignore_index]


def distances(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """HD95 and ASSD of masks bool [S,H,W], none of them empty: float64 [S] each, in pixels."""
    library = import_module("monai.metrics")
    masks = predicted[None], truth[None]  # [1,S,H,W]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of MONAI's functions about each other
        hd95 = library.compute_hausdorff_distance(*masks, include_background=True, percentile=95, directed=False)
        assd = library.compute_average_surface_distance(*masks, include_background=True, symmetric=True)
    return hd95[0].double(), assd[0].double()
