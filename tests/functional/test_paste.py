"""Masks on the image: values by hand, borders, and what torchvision and a plain interpolation make of them."""

import torch
from torch.nn import functional as F
from torchvision.models.detection.roi_heads import paste_masks_in_image

from segexp.functional.paste import paste


def test_by_hand():
    mask = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    assert paste(mask, torch.tensor([[1.0, 0, 3, 2]]), (3, 4)).int().tolist() == [[[0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]]
    assert paste(mask, torch.tensor([[0.0, 0, 4, 2]]), (2, 4))[0].int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]


def test_boxes_reach_beyond_the_image_or_lie_outside():
    full = torch.ones(4, 3, 3)
    boxes = torch.tensor([[-2.0, -2, 2, 2], [3, 1, 9, 9], [7, 7, 9, 9], [1.2, 1.2, 1.3, 1.3]])
    found = paste(full, boxes, (4, 5)).int()
    assert found[0].tolist() == [[1, 1, 0, 0, 0]] * 2 + [[0] * 5] * 2
    assert found[1].tolist() == [[0] * 5] + [[0, 0, 0, 1, 1]] * 3
    assert found[2:].sum() == 0
    assert paste(full[:0], boxes[:0], (4, 5)).shape == (0, 4, 5)


def test_a_whole_box_is_that_of_an_interpolation():
    torch.manual_seed(0)
    mask = torch.rand(1, 1, 28, 28)
    wanted = F.interpolate(mask, (56, 84), mode="bilinear")[0] > 0.5
    inner = paste(mask[0], torch.tensor([[5.0, 7, 89, 63]]), (70, 100))[:, 7:63, 5:89]
    assert torch.equal(inner[:, 1:-1, 2:-2], wanted[:, 1:-1, 2:-2])  # at the border zeros lie around the mask


def test_nearly_torchvisions_which_moves_boxes_to_whole_pixels_and_makes_them_larger():
    torch.manual_seed(0)
    masks = F.interpolate(torch.rand(5, 1, 3, 3), 28, mode="bicubic").clamp(0, 1)
    boxes = torch.tensor([[3.0, 4, 60, 50], [10, 2, 90, 70], [0, 0, 30, 30], [50, 20, 99, 75], [20, 20, 40, 70]])
    wanted = paste_masks_in_image(masks, boxes, (80, 100))[:, 0] > 0.5
    found = paste(masks[:, 0], boxes, (80, 100))
    assert (found & wanted).sum() / (found | wanted).sum() > 0.93
