"""`head.align_corners`: images of k x stride + 1 pixels are padded by nothing, and their corner pixels are cells."""

import pytest
import torch
from torch.nn import functional as F

from segexp.build import build, checked, open_dataset
from segexp.config import compose, session
from segexp.errors import WiringError

ALIGNED = ["head.align_corners=true", "decoder.align_corners=true"]


@pytest.fixture(scope="module", autouse=True)
def _one_session():
    with session():
        yield


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    overrides = ["model=deeplabv3plus", "backbone=resnet18", "decoder.width=16", *ALIGNED]
    return build(compose("train", overrides)).task.model.eval()


def test_padding_reaches_the_next_size(model):
    assert model.backbone.pad_to == 16
    assert model.padded((64, 65)) == (65, 65)
    assert model.padded((66, 97)) == (81, 97)


def test_cells_and_logits(model):
    images = torch.rand(1, 3, 65, 97)
    with torch.no_grad():
        output = model(images)
    assert output.align_corners
    assert output.logits.shape == (1, 8, 17, 25)
    full = F.interpolate(output.logits, (65, 97), mode="bilinear", align_corners=True)
    assert torch.equal(model.predict(images)[0].semantic, full[0].argmax(0).to(torch.uint8))


def test_without_it_sizes_are_multiples():
    config = compose("train", ["model=deeplabv3plus", "backbone=resnet18"])
    assert checked(config, open_dataset(config).spec).model.padded((65, 97)) == (80, 112)


def test_a_backbone_that_rounds_down_is_refused():
    config = compose("train", ["model=deeplabv3plus", "backbone=convnext_atto", *ALIGNED])
    with pytest.raises(WiringError, match="level c2 has shape") as caught:
        checked(config, open_dataset(config).spec)
    assert "head.align_corners=false" in caught.value.fix
