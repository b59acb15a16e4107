"""Maps at other sizes: cells cover the same part of the image."""

import torch

from segexp.layers.resample import doubled, like

ROW = torch.tensor([[[[0.0, 4.0]]]])


def test_doubled_has_half_pixel_centres():
    assert torch.equal(doubled(ROW)[0, 0], torch.tensor([[0.0, 1, 3, 4]] * 2))


def test_like_another_map():
    assert torch.equal(like(ROW, torch.zeros(1, 5, 1, 4)), torch.tensor([[[[0.0, 1, 3, 4]]]]))
    assert like(ROW, torch.zeros(3, 1, 1, 2)) is ROW
