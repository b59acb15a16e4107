"""Figures of images that show any number of classes: average precision by class, and F1 at one threshold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from segexp.functional.bootstrap import Figure
from segexp.functional.weighted import Record, column, pooled, ranked
from segexp.types import DataSpec, Prediction, Targets

THRESHOLD = 0.5  # from which a class counts as shown


class MultiLabelMetrics(Metric):
    """`label_map`, `label_map/<class>` and `label_f1`.

    `label_map/<class>` is the average precision of the images ranked by a class's score: the sum over distinct scores of the
    gain in recall times the precision there, exactly, with images of equal scores taken together (as in scikit-learn). NaN for
    a class that no image shows, which is left out of the mean `label_map`. `label_f1` is the mean over classes of 2 TP / (2 TP +
    FP + FN) where scores of at least 0.5 count as shown; a class that is neither shown nor predicted is left out.
    """

    needs = frozenset({"present"})
    full_state_update = False
    higher_is_better = True
    scores: list[Tensor]  # float32 [n,K] each
    shown: list[Tensor]  # bool [n,K] each

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.names = data.names
        for name in ("scores", "shown"):
            self.add_state(name, [], dist_reduce_fx="cat")
        self._start()

    def reset(self) -> None:
        super().reset()
        self._start()

    def measure(self, prediction: Prediction, truth: Targets) -> dict[str, Tensor]:
        """The scores float32 [K] of one image, and what it shows, bool [K]."""
        scores = prediction.label_scores.float()
        return {"scores": scores, "shown": truth.present.to(scores.device) > THRESHOLD}

    def update(self, records: list[dict[str, Tensor]]) -> None:
        if records:
            self.scores.append(torch.stack([record["scores"] for record in records]).to(self.device))
            self.shown.append(torch.stack([record["shown"] for record in records]).to(self.device))

    def compute(self) -> dict[str, Tensor]:
        scores, shown = dim_zero_cat(self.scores), dim_zero_cat(self.shown)  # [N,K]
        if scores.is_meta:  # a chain without data, which is asked for the names of its figures
            scores, shown = torch.zeros(0, len(self.names)), torch.zeros(0, len(self.names), dtype=torch.bool)
        found = torch.stack([average_precision(scores[:, k], shown[:, k]) for k in range(len(self.names))])  # [K]
        said = scores >= THRESHOLD
        f1 = 2 * (said & shown).sum(0).double() / (said.sum(0) + shown.sum(0))  # 0 / 0 = NaN: neither shown nor predicted
        figures = {"label_map": found.nanmean(), "label_f1": f1.nanmean()}
        return figures | {f"label_map/{name}": value for name, value in zip(self.names, found, strict=True)}

    def weighted(self, figure: str, records: Sequence[Record]) -> Figure | None:
        """The figure of this name, given how often each image counts; None if it is none of these."""
        scores, shown = column(records, "scores"), column(records, "shown") > 0  # [N,K]
        if figure == "label_f1":
            said = scores >= THRESHOLD
            return pooled(2.0 * (said & shown), said.astype(float) + shown)
        kind, _, name = figure.partition("/")
        if kind != "label_map" or name not in ("", *self.names):
            return None
        classes = [self.names.index(name)] if name else slice(None)
        return ranked(scores[:, classes], shown[:, classes])

    def _start(self) -> None:
        """Each list begins with a tensor of no rows: a rank without images has something to gather."""
        self.scores.append(torch.zeros(0, len(self.names), device=self.device))
        self.shown.append(torch.zeros(0, len(self.names), dtype=torch.bool, device=self.device))


def average_precision(scores: Tensor, positive: Tensor) -> Tensor:
    """The sum over distinct scores, from the highest, of (gain in recall) x precision; NaN without a positive.

    Args:
        scores: [N]; one that is NaN ranks last.
        positive: bool [N].

    Returns:
        float64 [].
    """
    if not positive.any():
        return torch.full((), torch.nan, dtype=torch.float64, device=scores.device)
    ranked, order = scores.nan_to_num(-1.0).sort(descending=True)
    hits = positive[order].cumsum(0)
    last = torch.ones_like(positive)
    last[:-1] = ranked[1:] != ranked[:-1]  # of the images with this score
    ends = last.nonzero().flatten()  # [S]
    found = hits[ends].double()
    gained = found.diff(prepend=found.new_zeros(1))
    return (gained * found / (ends + 1)).sum() / found[-1]
