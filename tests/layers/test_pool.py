"""Pooling over the cells that images cover."""

import torch

from segexp.layers.pool import GeneralisedMean, average, largest, pooled

MAPS = torch.arange(2 * 1 * 2 * 3.0).reshape(2, 1, 2, 3)  # 0..5 and 6..11


def test_padded_cells_do_not_count():
    # stride 4: 5 x 8 pixels cover 2 x 2 cells, 4 x 12 cover 1 x 3
    assert pooled(MAPS, 4, ((5, 8), (4, 12)), average).tolist() == [[(0 + 1 + 3 + 4) / 4], [(6 + 7 + 8) / 3]]
    assert pooled(MAPS, 4, ((8, 4), (8, 12)), largest).tolist() == [[3.0], [11.0]]


def test_an_image_gives_the_same_alone_and_beside_a_larger_one():
    maps = torch.rand(2, 5, 4, 6)
    together = pooled(maps, 8, ((17, 25), (32, 48)), average)
    assert torch.equal(together[:1], pooled(maps[:1, :, :3, :4], 8, ((17, 25),), average))


def test_a_size_beyond_the_maps_covers_all_of_them():
    assert torch.equal(pooled(MAPS, 4, ((99, 99), (99, 99)), average), average(MAPS))


def test_the_generalised_mean_goes_from_the_mean_to_the_maximum():
    assert torch.allclose(GeneralisedMean(1.0)(MAPS), average(MAPS).clamp(min=1e-6))
    assert torch.allclose(GeneralisedMean(3.0)(torch.tensor([[[[1.0, 2.0]]]])), torch.tensor([[4.5 ** (1 / 3)]]))
    assert (GeneralisedMean(60.0)(MAPS / 11) * 11 - largest(MAPS)).abs().max() < 0.5


def test_the_power_is_learned_and_zeros_give_finite_gradients():
    gem, maps = GeneralisedMean(), torch.zeros(1, 2, 2, 2, requires_grad=True)
    gem(maps).sum().backward()
    assert torch.isfinite(gem.power.grad)
    assert torch.isfinite(maps.grad).all()
