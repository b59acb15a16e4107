"""Dense outputs to image size."""

import pytest
import torch
from torch.nn import functional as F

from segexp.functional.maps import stack_maps
from segexp.functional.resize import mixed_rows, taps, to_size, widened


@pytest.mark.parametrize("size", [(48, 60), (45, 57), (46, 60)])
def test_equals_interpolation_then_cutting(size):
    x = torch.randn(2, 3, 12, 15)
    whole = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
    assert torch.equal(to_size(x, 4, size), whole[..., : size[0], : size[1]])


def test_to_the_original_size_maps_corners_to_corners():
    ramp = torch.arange(8.0).repeat_interleave(1)[None, None, None].expand(1, 1, 4, 8)
    out = to_size(ramp, 2, (8, 16), (24, 48))[0, 0, 0]
    # the centre of target pixel j lies at ((j + 0.5) / 6 - 0.5) of the map
    wanted = ((torch.arange(48) + 0.5) / 6 - 0.5).clamp(0, 7)
    assert torch.allclose(out, wanted, atol=1e-5)


def test_padding_does_not_leak_into_the_original():
    x = torch.zeros(1, 1, 4, 4)
    x[..., 2:] = 100  # beyond the valid half
    out = to_size(x, 4, (16, 6), (32, 12))
    assert out[..., 0].max() == 0


def test_gradient_flows():
    x = torch.randn(1, 2, 5, 5, requires_grad=True)
    to_size(x, 4, (18, 20), (9, 10)).sum().backward()
    assert x.grad.abs().sum() > 0


def test_maps_of_different_sizes_are_stacked():
    out = stack_maps([torch.ones(2, 3), torch.full((1, 4), 2.0)], 9)
    assert out.tolist() == [[[1, 1, 1, 9], [1, 1, 1, 9]], [[2, 2, 2, 2], [9, 9, 9, 9]]]


@pytest.mark.parametrize(
    ("cells", "scale", "count"), [(12, 4.0, 48), (12, 4.0, 45), (9, 3.7, 31), (7, 0.6, 4), (1, 8.0, 8), (300, 97 / 300, 97)]
)
def test_taps_are_those_of_torch(cells, scale, count):
    x = torch.randn(1, 1, 1, cells, generator=torch.Generator().manual_seed(0))
    low, high, fraction = taps(count, cells, scale)[1:]
    wanted = torch.ops.aten.upsample_bilinear2d(x, [1, count], False, 1.0, scale)
    assert torch.allclose(torch.lerp(x[..., low], x[..., high], fraction), wanted, atol=1e-6)
    assert bool((taps(count, cells, scale).cell.diff() >= 0).all())


def test_strips_of_rows_are_the_rows_of_the_whole():
    x = torch.randn(3, 9, 11, generator=torch.Generator().manual_seed(0))
    whole = to_size(x[None], 4, (30, 40), (47, 55))[0]
    axis = taps(47, 9, 4 * 47 / 30)
    parts = [widened(mixed_rows(x, axis, *rows)[None], 55, 4 * 55 / 40)[0] for rows in ((0, 5), (5, 6), (6, 47))]
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-6)
