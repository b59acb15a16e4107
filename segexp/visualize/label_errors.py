"""Where the classes of a whole picture are wrong: the first ones by their scores, line by line, beside those that it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from segexp.types import DataSpec, Prediction, Targets
from segexp.visualize.colors import SHOWN, shown_classes
from segexp.visualize.draw import STRIP, Color, Line
from segexp.visualize.object_errors import FOUND
from segexp.visualize.segment_errors import FALSE, MISSED

FIRST = 5  # so many classes are written whatever their scores


class LabelErrors(NamedTuple):
    """What was said of a picture, and what it shows.

    Args:
        scores: of each class; one that is NaN goes last.
        true: ids of the classes that the picture shows; none where it has no label.
        single: whether a picture is of one class; else of any number, of which those from a score of 0.5 are predicted.
    """

    scores: list[float]
    true: list[int]
    single: bool

    @property
    def order(self) -> list[int]:
        """Ids by descending score, of equals the lower first."""
        return sorted(range(len(self.scores)), key=lambda i: math.inf if math.isnan(self.scores[i]) else -self.scores[i])

    @property
    def predicted(self) -> list[int]:
        """Ids of the classes that were predicted."""
        return self.order[:1] if self.single else [i for i in self.order if self.scores[i] >= SHOWN]

    def color(self, label: int) -> Color:
        """Of its line: green where right; where a picture may be of any number, amber where false and red where missed."""
        if label in self.true:
            return FOUND if self.single or label in self.predicted else MISSED
        return FALSE if label in self.predicted and not self.single else STRIP

    def lines(self, names: Sequence[str]) -> list[Line]:
        """The first five classes with their scores, then all others that are true or predicted."""
        matter = [*self.order[:FIRST], *self.predicted, *self.true]
        return [Line(names[i], f"{self.scores[i]:.2f}", self.color(i)) for i in self.order if i in matter]

    def legend(self, data: DataSpec) -> list[tuple[str, Color]]:
        """The true class and where it stands, or how many classes there are of each kind, and their colours."""
        if not self.single:
            right, predicted = len({*self.true} & {*self.predicted}), len(self.predicted)
            kinds = ("found", right, FOUND), ("missed", len(self.true) - right, MISSED), ("false", predicted - right, FALSE)
            return [(f"{name} {count}", color) for name, count, color in kinds]
        if not self.true:
            return [("no true class", STRIP)]
        named = [(f"true class: {data.names[i]}", data.classes[i].color) for i in self.true]
        place = self.order.index(self.true[0]) + 1
        return [*named, (f"its place: {place} of {len(self.order)}", FOUND)]


def label_errors(truth: Targets, prediction: Prediction, data: DataSpec) -> LabelErrors:
    """Compare the label, or the labels, of a picture with the scores of the classes.

    Args:
        truth: with `label` or `present`.
        prediction: with `label_scores`.
        data: the classes.
    """
    label = truth.present if truth.label is None else truth.label
    ids = shown_classes(label, data) if label.ndim else [int(label)]
    true = [i for i in ids if i < data.num_classes and i != data.ignore_index]
    return LabelErrors(prediction.label_scores.tolist(), true, truth.label is not None)


def of_labels(truth: Targets, prediction: Prediction) -> bool:
    """Whether labels of the whole picture are all that truth and prediction have in common."""
    for kinds in (("segments", "semantic"), ("masks",), ("boxes",)):  # a map of classes is made of either of the first two
        if all(any(getattr(side, kind) is not None for kind in kinds) for side in (truth, prediction)):
            return False
    return prediction.label_scores is not None and not (truth.label is None and truth.present is None)


def true_lines(errors: LabelErrors, data: DataSpec) -> list[Line]:
    """The classes that the picture shows, in their colours."""
    return [Line(data.names[i], "", data.classes[i].color) for i in errors.true] or [Line("none", "", STRIP)]
