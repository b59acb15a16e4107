"""Binary cross-entropy of the classes that an image shows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segexp.errors import ConfigError, require_number
from segexp.types import Batch, ClassLogits, DataSpec, Targets

SURE = 1e-6  # of an error below it the power has no gradient: that of 0 ** 0.5 is infinite


class LabelBCE(nn.Module):
    """Sum over images of the mean over classes of -log p of what is shown or not; divided elsewhere by the number of images.

    Args:
        data: the data set's classes.
        weight: of the term in the total loss.
        pos_weight: how much a class that is shown counts against one that isn't: one number, or one per class.
        gamma: how much classes that are right already count less (focal loss, Lin et al., 2017); 0 is cross-entropy.

    Raises:
        ConfigError: weights that don't match the classes or aren't positive, or a negative gamma.
    """

    accepts = ClassLogits
    needs = frozenset({"present"})
    pos_weight: Tensor

    def __init__(self, data: DataSpec, *, weight: float = 1.0, pos_weight: Sequence[float] | float = 1.0, gamma: float = 0.0) -> None:
        super().__init__()
        given = [pos_weight] * data.num_classes if isinstance(pos_weight, int | float) else list(pos_weight)
        if len(given) != data.num_classes or min(given, default=0) <= 0:
            what = f"one positive number is wanted, or one for each of {data.num_classes} classes"
            raise ConfigError(what, where=f"loss.pos_weight={pos_weight}", fix="loss.pos_weight=2")
        require_number("loss.weight", weight, "loss.weight=1", least=0)
        require_number("loss.gamma", gamma, "loss.gamma=2", least=0)
        self.weight, self.gamma = weight, gamma
        self.register_buffer("pos_weight", torch.tensor(given, dtype=torch.float32), persistent=False)  # [K]

    def forward(self, output: ClassLogits, batch: Batch) -> dict[str, Tensor]:
        shown, logits = torch.stack([t.present for t in batch.targets]).float(), output.logits.float()  # [B,K] each
        values = F.binary_cross_entropy_with_logits(logits, shown, pos_weight=self.pos_weight, reduction="none")
        if self.gamma:
            values = values * (shown - logits.sigmoid()).abs().clamp(min=SURE) ** self.gamma
        return {"bce": self.weight * values.mean(1).sum()}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        """The number of images."""
        return {"bce": float(len(targets))}
