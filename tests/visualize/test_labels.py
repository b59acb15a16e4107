"""Image labels in pictures: one class, or any number."""

import pytest
import torch

from segexp.types import ClassInfo, DataSpec, Prediction, Targets
from segexp.visualize.colors import image_label
from segexp.visualize.paint import paint

SPEC = DataSpec(tuple(ClassInfo(n, False, (9 * i, 0, 0)) for i, n in enumerate(("cat", "dog", "cow"))), frozenset({"present"}))


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Prediction(label_scores=torch.tensor([0.2, 0.5, 0.3])), "dog 0.50"),
        (Prediction(label_scores=torch.tensor([0.9, 0.1, 0.5])), "cat 0.90, cow 0.50"),
        (Prediction(label_scores=torch.tensor([0.1, 0.2, 0.3])), "none"),
        (Targets(label=torch.tensor(1)), "dog"),
        (Targets(label=torch.tensor(255)), ""),
        (Targets(present=torch.tensor([0.0, 1.0, 1.0])), "dog, cow"),
        (Targets(), ""),
    ],
)
def test_what_is_written(annotation, text):
    assert image_label(annotation, SPEC)[0] == text


def test_labels_that_an_image_shows_are_painted():
    image = torch.full((3, 40, 160), 90, dtype=torch.uint8)
    assert not torch.equal(paint(image, Targets(present=torch.tensor([1.0, 0.0, 1.0])), SPEC), image)
