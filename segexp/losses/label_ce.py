"""Cross-entropy of an image's class, which mixing may have made several."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segexp.errors import ConfigError, require_number
from segexp.functional.labels import label_shares
from segexp.losses.class_weights import class_weights_of
from segexp.types import Batch, ClassLogits, DataSpec, Targets


class LabelCE(nn.Module):
    """Sum over images of class weight x share of the class x -log p; divided elsewhere by the sum of weights x shares.

    A class id is a share of 1. Of an image without a class (`ignore_index`) all shares are 0: it gives no gradient and
    doesn't count. Mixing two images mixes their shares, so what a batch is divided by stays what it was.

    Args:
        data: the data set's classes.
        weight: of the term in the total loss.
        class_weights: one per class, in the order of the class ids; all 1 unless given.
        label_smoothing: share of the target spread evenly over all classes, as in torch.

    Raises:
        ConfigError: the smoothing isn't a share, or the weights don't match the classes.
    """

    accepts = ClassLogits
    needs = frozenset({"label"})
    class_weights: Tensor

    def __init__(
        self, data: DataSpec, *, weight: float = 1.0, class_weights: Sequence[float] | None = None, label_smoothing: float = 0.0
    ) -> None:
        super().__init__()
        require_number("loss.weight", weight, "loss.weight=1", least=0)
        if not 0 <= label_smoothing < 1:
            raise ConfigError("a share lies in [0, 1)", where=f"loss.label_smoothing={label_smoothing}", fix="loss.label_smoothing=0.1")
        self.weight, self.label_smoothing = weight, label_smoothing
        self.ignore_index, self.classes = data.ignore_index, data.num_classes
        given = class_weights_of(data, class_weights)
        self.register_buffer("class_weights", torch.ones(data.num_classes) if given is None else given, persistent=False)  # [K]
        self.by_class = [1.0] * data.num_classes if class_weights is None else [float(w) for w in class_weights]  # for `count`, in loaders

    def forward(self, output: ClassLogits, batch: Batch) -> dict[str, Tensor]:
        shares = torch.stack([label_shares(t.label, self.classes, self.ignore_index) for t in batch.targets])  # [B,K]
        spread = shares.sum(1, keepdim=True) / self.classes
        target = torch.lerp(shares, spread.expand_as(shares), self.label_smoothing) * self.class_weights
        return {"ce": -self.weight * (target * output.logits.float().log_softmax(1)).sum()}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """The sum of class weights x shares: without weights, the number of images that have a class."""
        return {"ce": float(sum(self._counted(t.label) for t in targets))}

    def _counted(self, label: Tensor) -> float:
        if label.ndim:
            return sum(w * share for w, share in zip(self.by_class, label.tolist(), strict=True))
        return 0.0 if int(label) == self.ignore_index else self.by_class[int(label)]
