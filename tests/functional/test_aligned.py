"""Maps whose cells lie on pixels: torch's `align_corners=True` at sizes k x stride + 1, in every form of resize, argmax and loss."""

import pytest
import torch
from torch.nn import functional as F

from segexp.functional import argmax as argmax_module
from segexp.functional.argmax import upsampled_argmax
from segexp.functional.resize import regrid, to_size
from segexp.functional.upsampled_loss import Terms, is_fused, summed_cross_entropy


def whole(cells, stride):
    return [(n - 1) * stride + 1 for n in cells]


@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16, 7])
def test_it_is_torch_at_its_sizes(stride):
    logits = torch.randn(2, 3, 5, 9)
    size = whole((5, 9), stride)
    wanted = F.interpolate(logits, size, mode="bilinear", align_corners=True)
    torch.testing.assert_close(to_size(logits, stride, tuple(size), aligned=True), wanted, rtol=0, atol=1e-6)


def test_smaller_inputs_are_cut_from_it():
    logits = torch.randn(1, 3, 5, 9)
    every = to_size(logits, 8, (33, 65), aligned=True)
    assert torch.equal(to_size(logits, 8, (27, 60), aligned=True), every[..., :27, :60])


def test_pixels_by_hand():
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)  # the value is the column of the cell
    assert to_size(ramp, 2, (7, 7), aligned=True)[0, 0, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    # an original of twice the size: its pixel 0 lies at -0.25 of the input, pixel 1 at 0.25, so at cell 0.125
    found = to_size(ramp, 2, (7, 7), (14, 14), aligned=True)[0, 0, 0]
    assert found[:4].tolist() == [0, 0.125, 0.375, 0.625]
    assert found[-1] == 3


def test_the_original_size_agrees_with_the_two_steps():
    logits = torch.randn(1, 4, 6, 8)
    size, original = (41, 57), (82, 114)
    steps = F.interpolate(to_size(logits, 8, size, aligned=True), original, mode="bilinear")
    found = to_size(logits, 8, size, original, aligned=True)
    torch.testing.assert_close(found[..., 16:-16, 16:-16], steps[..., 16:-16, 16:-16], rtol=0, atol=0.35)  # they differ at kinks alone
    assert (found - steps).abs().mean() < 0.02


@pytest.mark.parametrize("original", [None, (129, 193), (300, 410), (100, 150)])
@pytest.mark.parametrize("smooth", [True, False])
def test_argmax_is_that_of_the_resized(original, smooth, monkeypatch):
    monkeypatch.setattr(argmax_module, "FEW", 0)
    logits = torch.randn(19, 17, 25)
    if smooth:
        logits = F.interpolate(torch.randn(1, 19, 3, 4), (17, 25), mode="bilinear")[0]
    size = (129, 193)
    wanted = to_size(logits[None], 8, size, original, aligned=True)[0].argmax(0)
    found = upsampled_argmax(logits, 8, size, original, aligned=True)
    assert (found != wanted).float().mean() < 1e-4  # ties but for rounding


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("size", [(129, 161), (125, 155)])
def test_the_fused_loss_is_the_plain_one(size, smoothing):
    torch.manual_seed(0)
    logits = torch.randn(3, 19, 17, 21)
    target = torch.randint(0, 19, (3, *size))
    target[:, :9] = 255
    terms = Terms(255, None, smoothing)
    assert is_fused(logits, target, 8, terms)
    found = []
    for fused in (True, False):
        x = logits.clone().requires_grad_()
        value = summed_cross_entropy(x, target, 8, terms, fused=fused, aligned=True)
        value.backward()
        found.append((value.detach(), x.grad))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=0)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-4)


def test_a_constant_and_a_ramp_keep_their_values_on_another_grid():
    like = torch.zeros(1, 1, 9, 13)
    assert torch.equal(regrid(torch.ones(1, 1, 5, 7), like, (2.0, 2.0), 8, aligned=True), torch.ones(1, 1, 9, 13))
    # an input of 65 pixels beside one of 33: cell c of the first is pixel 8c, pixel (8c + 0.5) * 33/65 - 0.5 of the other
    ramp = torch.arange(5.0).view(1, 1, 5, 1)
    found = regrid(ramp, torch.zeros(1, 1, 9, 1), (65 / 33, 1.0), 8, aligned=True)[0, 0, :, 0]
    wanted = [min(max(((8 * c + 0.5) * 33 / 65 - 0.5) / 8, 0), 4) for c in range(9)]
    assert found.tolist() == pytest.approx(wanted, abs=1e-5)


def test_on_another_grid_without_alignment_it_is_interpolation():
    x = torch.randn(1, 2, 4, 6)
    wanted = F.interpolate(x, (8, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(regrid(x, torch.zeros(1, 2, 8, 12), (2.0, 2.0), 8), wanted)
