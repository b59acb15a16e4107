"""The largest logit over scales, by a network whose logits are its input's mean colour."""

import pytest
import torch
from torch.nn import functional as F

from segexp.build import checked, open_dataset
from segexp.config import compose
from segexp.errors import ConfigError, WiringError
from segexp.fusion.multi_scale_max import MultiScaleMax
from segexp.types import AuxiliaryLogits, SemanticLogits, Targets


class Head:
    output_type = SemanticLogits
    needs = frozenset()


class Network:
    """Logits at stride 4: of the red channel, and of its negative; remembers sizes."""

    def __init__(self):
        self.seen = []

    def __call__(self, images, sizes, targets):
        self.seen.append((tuple(images.shape[-2:]), sizes))
        cells = F.avg_pool2d(images[:, :1], 4, ceil_mode=True)
        return SemanticLogits(torch.cat([cells, -cells], 1), 4)


def test_scales_and_sizes():
    network = Network()
    MultiScaleMax(Head(), scales=[1.0, 0.5])(network, torch.rand(1, 3, 32, 48), ((24, 48),))
    assert network.seen == [((32, 48), ((24, 48),)), ((16, 24), ((12, 24),))]


def test_the_largest_of_each_cell_by_hand():
    images = torch.zeros(1, 3, 16, 16)
    images[..., :8, :8] = 1
    fuse = MultiScaleMax(Head(), scales=[1.0, 0.5])
    found = fuse(Network(), images, ((16, 16),))
    assert isinstance(found, AuxiliaryLogits)
    assert found.aux == {}
    whole, half = torch.tensor([1.0, 1, 0, 0]), torch.tensor([1, 0.75, 0.25, 0])  # rows of cells; half size: 1, 0 stretched by two
    wanted = torch.maximum(whole[:, None] * whole, half[:, None] * half)
    torch.testing.assert_close(found.logits[0, 0], wanted)
    torch.testing.assert_close(found.logits[0, 1], torch.maximum(-whole[:, None] * whole, -half[:, None] * half))


def test_with_targets_each_scale_is_there():
    found = MultiScaleMax(Head())(Network(), torch.rand(2, 3, 32, 32), ((32, 32),) * 2, [Targets()] * 2)
    assert list(found.aux) == ["scale_1", "scale_0.75", "scale_0.5"]
    stacked = torch.stack([part.logits for part in found.aux.values()])
    assert torch.equal(found.logits, stacked.max(0).values)


@pytest.mark.parametrize("scales", [[0.5], [1.0, 0.0], [1.0, 1.0]])
def test_scales_that_make_no_sense(scales):
    with pytest.raises(ConfigError, match="one of them 1"):
        MultiScaleMax(Head(), scales=scales)


def test_wiring():
    chain = lambda *overrides: checked(config := compose("train", overrides), open_dataset(config).spec)  # noqa: E731
    assert isinstance(chain("model=deeplabv2", "backbone=resnet18").model.fusion, MultiScaleMax)
    with pytest.raises(WiringError, match="AuxiliaryHead emits AuxiliaryLogits; fusion"):
        chain("fusion=multi_scale_max", "head=semantic_aux", "loss=auxiliary")
    chain("fusion=multi_scale_max")  # any loss of one output reads the maximum
