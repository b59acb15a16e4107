"""PSPNet: its bins, and that the whole image is seen from every place."""

import torch

from segexp.decoders.pspnet import PSPNet
from segexp.types import Level


def test_every_place_sees_the_whole_image():
    torch.manual_seed(0)
    decoder = PSPNet({"c5": Level(6, 8)}, width=32, bins=[1]).eval()
    x = torch.randn(1, 6, 9, 9, requires_grad=True)
    decoder({"c5": x})["semantic"][0, :, 0, 0].square().sum().backward()
    assert x.grad[0, :, 8, 8].abs().sum() > 0


def test_bins():
    assert len(PSPNet({"c5": Level(6, 8)}, width=8, bins=[1, 4]).pool.project) == 2
