"""The tiny chain of classification: one linear layer, cross-entropy, and the scores of all classes."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segexp.types import Batch, ClassLogits, DataSpec, Features, FeatureSpec, Prediction, Sizes, Targets
from segexp.wiring import require


class LinearHead(nn.Module):
    """Average a level over the valid area and classify the image.

    Args:
        features: what the decoder emits.
        data: the data set's classes.
        level: the level that is averaged.
    """

    output_type = ClassLogits
    needs: frozenset[str] = frozenset()

    def __init__(self, features: FeatureSpec, data: DataSpec, *, level: str = "c5") -> None:
        super().__init__()
        require(features, level, by="LinearHead")
        self.level, self.stride = level, features[level].stride
        self.linear = nn.Linear(features[level].channels, data.num_classes)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> ClassLogits:
        cells = [(math.ceil(height / self.stride), math.ceil(width / self.stride)) for height, width in sizes]
        pooled = [x[:, :rows, :columns].mean((1, 2)) for x, (rows, columns) in zip(features[self.level], cells, strict=True)]
        return ClassLogits(self.linear(torch.stack(pooled)))  # [B,K]


class LabelCrossEntropy:
    """Cross-entropy of the image's class; images without one (`ignore_index`) don't count.

    Args:
        data: the data set; sets the ignored value.
    """

    accepts = ClassLogits
    needs = frozenset({"label"})

    def __init__(self, data: DataSpec) -> None:
        self.ignore = data.ignore_index

    def __call__(self, output: ClassLogits, batch: Batch) -> dict[str, Tensor]:
        labels = torch.stack([t.label for t in batch.targets])  # [B]
        return {"ce": F.cross_entropy(output.logits, labels, ignore_index=self.ignore, reduction="sum")}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        return {"ce": float(sum(int(t.label) != self.ignore for t in targets))}


class TopLabel:
    """Softmax scores of all classes.

    Args:
        data: the data set.
    """

    accepts = ClassLogits
    provides = frozenset({"label"})

    def __init__(self, data: DataSpec) -> None:
        pass

    def __call__(self, output: ClassLogits, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        return [Prediction(label_scores=scores) for scores in output.logits.float().softmax(1)]  # [K] each
