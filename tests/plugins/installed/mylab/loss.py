"""Distance between probabilities and one-hot labels: a loss for tests of a user's package."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from segexp.functional.maps import stack_maps
from segexp.functional.resize import to_size
from segexp.types import Batch, DataSpec, SemanticLogits, Targets


class L1(nn.Module):
    """Sum over labelled pixels of the absolute difference of class probabilities and one-hot labels.

    Args:
        data: the data set's classes.
        weight: of the term in the total loss.
    """

    accepts = SemanticLogits
    needs = frozenset({"semantic"})

    def __init__(self, data: DataSpec, *, weight: float = 1.0) -> None:
        super().__init__()
        self.classes, self.ignore_index, self.weight = data.num_classes, data.ignore_index, weight

    def forward(self, output: SemanticLogits, batch: Batch) -> dict[str, Tensor]:
        target = stack_maps([t.semantic for t in batch.targets], self.ignore_index).long()  # [B,H,W]
        probabilities = to_size(output.logits, output.stride, tuple(target.shape[-2:])).softmax(1)  # [B,K,H,W]
        seen = (target != self.ignore_index)[:, None]  # [B,1,H,W]
        wanted = F.one_hot(target.clamp(max=self.classes - 1), self.classes).movedim(-1, 1)  # [B,K,H,W]
        return {"l1": self.weight * ((probabilities - wanted).abs() * seen).sum()}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """Labelled pixels."""
        return {"l1": float(sum(int((t.semantic != self.ignore_index).sum()) for t in targets))}
