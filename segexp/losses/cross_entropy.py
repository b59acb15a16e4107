"""Pixel-wise cross-entropy on semantic logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segexp.functional.maps import stack_maps
from segexp.functional.upsampled_loss import Terms, summed_cross_entropy
from segexp.losses.class_weights import class_weights_of
from segexp.types import Batch, DataSpec, SemanticLogits, Targets


class CrossEntropy(nn.Module):
    """Sum over labelled pixels of weight[class] x cross-entropy, divided elsewhere by the sum of the weights.

    Logits are brought to the input's size first. The label contract holds: no gradient at ignored pixels, and 0
    with zero gradient where every pixel is ignored.

    Args:
        data: the data set's classes.
        weight: of the term in the total loss.
        class_weights: one per class, in the order of the class ids; all 1 unless given.
        label_smoothing: share of the target spread evenly over all classes, as in torch.
        fused: upsampling and loss in one, where that is faster (on a CPU); it can't be differentiated twice.
    """

    accepts = SemanticLogits
    needs = frozenset({"semantic"})
    class_weights: Tensor | None

    def __init__(
        self,
        data: DataSpec,
        *,
        weight: float = 1.0,
        class_weights: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self.weight, self.label_smoothing, self.ignore_index, self.fused = weight, label_smoothing, data.ignore_index, fused
        self.register_buffer("class_weights", class_weights_of(data, class_weights), persistent=False)  # [K]
        self.weights_by_class = None  # for `count`, which runs in loader processes: never on a device, 0 where ignored
        if class_weights is not None:
            self.weights_by_class = torch.zeros(max(self.ignore_index, data.num_classes) + 1, dtype=torch.float64, device="cpu")
            self.weights_by_class[: data.num_classes] = torch.tensor(class_weights, dtype=torch.float64, device="cpu")

    def forward(self, output: SemanticLogits, batch: Batch) -> dict[str, Tensor]:
        target = stack_maps([t.semantic for t in batch.targets], self.ignore_index).long()  # [B,H,W]
        terms = Terms(self.ignore_index, self.class_weights, self.label_smoothing)
        how = {"fused": self.fused, "aligned": output.align_corners}
        return {"ce": self.weight * summed_cross_entropy(output.logits, target, output.stride, terms, **how)}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """The sum of class weights over labelled pixels."""
        if self.weights_by_class is None:
            return {"ce": float(sum(int(torch.count_nonzero(t.semantic != self.ignore_index)) for t in targets))}
        return {"ce": float(sum(self.weights_by_class[t.semantic.long()].sum() for t in targets))}
