"""Image labels in pictures: one class, or any number."""

import pytest
import torch

from segexp.types import ClassInfo, DataSpec, Prediction, Targets
from segexp.visualize.colors import image_label
from segexp.visualize.paint import RIGHT, WRONG, error_map, paint

SPEC = DataSpec(tuple(ClassInfo(n, False, (9 * i, 0, 0)) for i, n in enumerate(("cat", "dog", "cow"))), frozenset({"present"}))
IMAGE = torch.full((3, 40, 160), 90, dtype=torch.uint8)


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


@pytest.mark.parametrize(("shown", "color"), [([1.0, 0.0, 1.0], RIGHT), ([1.0, 0.0, 0.0], WRONG)])
def test_the_error_picture_compares_the_classes_shown(shown, color):
    prediction = Prediction(label_scores=torch.tensor([0.9, 0.1, 0.7]))
    picture = error_map(Targets(present=torch.tensor(shown)), prediction, SPEC, IMAGE)
    assert (picture == torch.tensor(color, dtype=torch.uint8)[:, None, None]).all(0).any()
    assert not torch.equal(paint(IMAGE, Targets(present=torch.tensor(shown)), SPEC), IMAGE)
