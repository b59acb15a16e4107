"""Scores of the classes of a whole image."""

from __future__ import annotations

from segexp.types import ClassLogits, DataSpec, Prediction, Sizes


class TopLabel:
    """Softmax: the image is of one class; the scores of all sum to 1."""

    accepts = ClassLogits
    provides = frozenset({"label"})

    def __init__(self, data: DataSpec) -> None:
        """Needs nothing of the data set; `segexp.build` gives it to every stage."""

    def __call__(self, output: ClassLogits, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        return [Prediction(label_scores=scores) for scores in output.logits.float().softmax(1)]  # [K] each


class Present:
    """Sigmoid: the image shows any number of classes; each has a score of its own, and counts as shown from 0.5."""

    accepts = ClassLogits
    provides = frozenset({"present"})

    def __init__(self, data: DataSpec) -> None:
        """Needs nothing of the data set; `segexp.build` gives it to every stage."""

    def __call__(self, output: ClassLogits, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        return [Prediction(label_scores=scores) for scores in output.logits.float().sigmoid()]  # [K] each
