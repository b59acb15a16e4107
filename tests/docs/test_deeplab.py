"""docs/deeplab.md says what chains are today: a sample of its lines, made anew."""

import pytest

from segexp.backbones.geometry import POOLS_GLOBALLY
from segexp.published import PUBLISHED
from tests.docs.deeplab import MODELS, PAGE, backbones, cell, described, levels

TEXT = PAGE.read_text(encoding="utf-8")
AGAIN = "docs/deeplab.md is out of date: python -m tests.docs.deeplab"


@pytest.mark.parametrize(("model", "backbone"), [("deeplabv1", "vgg16"), ("deeplabv3plus", "resnet18"), ("lraspp", "mobilenet_v3_large")])
def test_models_on_backbones_are_as_described(model, backbone):
    assert described(backbone, model, cell(model, backbone, MODELS[model])) + "\n" in TEXT, AGAIN


def test_backbones_are_as_described():
    assert levels("resnet18", cell("deeplabv3", "resnet18", 32)) + "\n" in TEXT, AGAIN


def test_a_pair_that_does_not_fit_has_its_reason():
    why = cell("deeplabv3", "vit_tiny", 8).why
    assert why and why in TEXT, AGAIN


def test_every_backbone_and_every_published_model_has_its_line():
    missing = [name for name in backbones() if f"| `{name}` |" not in TEXT]
    assert not missing and all(f"| {row} | {row.parameters:,} |" in TEXT for row in PUBLISHED), AGAIN
    assert all(f"`{name}`" in TEXT for name in POOLS_GLOBALLY)
