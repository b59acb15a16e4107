"""Mean field of the fully connected CRF: by hand, beside plain loops, beside published arrays, and at its edges."""

from pathlib import Path

import numpy as np
import pytest
import torch

from segexp.functional import mean_field as module
from segexp.functional.mean_field import Appearance, Smoothness, affordable, mean_field, unaries

OFF = Smoothness(weight=0)
NO_COLOUR = Appearance(weight=0)


def picture(classes=3, size=(7, 9), channels=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(classes, *size, generator=rng)
    image = (60 * torch.rand(channels, *size, generator=rng)).round()
    return unaries(logits), image


def dense(unary, image, iterations, gaussian, bilateral):
    """The definition, in float64 over all pairs."""
    classes, height, width = unary.shape
    at = torch.tensor([[y, x] for y in range(height) for x in range(width)], dtype=torch.float64)
    colour = image.double().flatten(1).T
    apart, unlike = ((x[:, None] - x).square().sum(-1) for x in (at, colour))
    cost, kernel = unary.double().flatten(1), torch.zeros(len(at), len(at), dtype=torch.float64)
    smooth = (-apart / (2 * gaussian.sxy**2)).exp()
    alike = (-apart / (2 * bilateral.sxy**2) - unlike / (2 * bilateral.srgb**2)).exp()
    for weight, one in ((gaussian.weight, smooth), (bilateral.weight, alike)):
        kernel += weight * one / (one.sum(0)[:, None] * one.sum(0)).sqrt()
    belief = (-cost).softmax(0)
    for _ in range(iterations):
        belief = (-cost + belief @ kernel).softmax(0)
    return belief.view(classes, height, width).float()


def test_four_pixels_by_hand():
    """Pixels of one column are of one colour, and so near that each hears both alike: the mean of the two.

    Column one: class 0 at 0.9 and 0.4; both hear 4 x 1.3 for class 0 and 4 x 0.7 for class 1, a difference of 2.4.
    Column two: 0.2 and 0.55, so 4 x 0.75 and 4 x 1.25 over two, a difference of -1.
    """
    first = torch.tensor([[0.9, 0.2], [0.4, 0.55]])
    image = torch.tensor([[0.0, 255.0], [0.0, 255.0]]).expand(3, 2, 2)
    unary = -torch.stack([first, 1 - first]).log()
    found = mean_field(unary, image, iterations=1, gaussian=OFF, bilateral=Appearance(weight=4, sxy=1e4, srgb=3))[0]
    heard = torch.tensor([[1.2, -1.0], [1.2, -1.0]])
    torch.testing.assert_close(found, (first.logit() + heard).sigmoid())
    assert (found > 0.5).tolist() == [[True, False], [True, False]]
    grey = mean_field(unary, 0 * image, iterations=1, gaussian=OFF, bilateral=Appearance(weight=4, sxy=1e4, srgb=3))[0]
    torch.testing.assert_close(grey, (first.logit() + 4 * (2 * 0.5125 - 1)).sigmoid())


@pytest.mark.parametrize("size", [(7, 9), (1, 12), (5, 1), (1, 1), (23, 31)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_exact_is_the_definition(size, channels):
    unary, image = picture(size=size, channels=channels)
    for gaussian, bilateral in ((Smoothness(3, 1), Appearance(4, 20, 9)), (Smoothness(2, 5), NO_COLOUR), (OFF, Appearance(10, 3, 30))):
        found = mean_field(unary, image, iterations=4, gaussian=gaussian, bilateral=bilateral)
        torch.testing.assert_close(found, dense(unary, image, 4, gaussian, bilateral), rtol=0, atol=2e-4)


@pytest.mark.parametrize(
    ("name", "iterations", "gaussian", "bilateral"),
    [
        ("voc_it10_pos3_1_bi4_67_3", 10, Smoothness(3, 1), Appearance(4, 67, 3)),
        ("it5_pos3_3_bi10_80_13", 5, Smoothness(3, 3), Appearance(10, 80, 13)),
    ],
)
def test_published_arrays(name, iterations, gaussian, bilateral):
    """Labels beside exact mean field in float64, and beside the lattice of the published implementation."""
    kept = {key: torch.from_numpy(value) for key, value in np.load(Path(__file__).with_name("densecrf.npz")).items()}
    unary, image = unaries(kept["prob"].log()), kept["image"].permute(2, 0, 1)
    for exact, tolerance in ((True, 1e-4), (False, 0.05)):
        found = mean_field(unary, image, iterations=iterations, gaussian=gaussian, bilateral=bilateral, exact=exact)
        assert (found - kept[f"{name}.exact"]).abs().max() < tolerance
        assert (found.argmax(0) == kept[f"{name}.exact"].argmax(0)).float().mean() >= 0.999
        assert (found.argmax(0) == kept[name].argmax(0)).float().mean() >= 0.98


def test_cells_are_near_the_exact_on_a_smooth_picture_and_far_from_the_start():
    rng = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
    disc = ((y - 30) ** 2 + (x - 40) ** 2 < 400).float()
    image = torch.stack([80 + 90 * disc, 60 + y, 200 - x]) + 2 * torch.randn(3, 60, 80, generator=rng)
    unary = unaries(torch.stack([1 - disc, disc]) + 1.2 * torch.randn(2, 60, 80, generator=rng))
    kernels = {"gaussian": Smoothness(3, 1), "bilateral": Appearance(4, 67, 6)}
    exact, cells = (mean_field(unary, image, exact=exact, **kernels).argmax(0) for exact in (True, False))
    assert (exact == cells).float().mean() >= 0.99
    assert (exact == disc).float().mean() >= 0.99
    assert ((-unary).argmax(0) == disc).float().mean() < 0.8


def test_without_weights_or_iterations_nothing_changes():
    unary, image = picture()
    start = (-unary).softmax(0)
    torch.testing.assert_close(mean_field(unary, image, gaussian=OFF, bilateral=NO_COLOUR), start)
    torch.testing.assert_close(mean_field(unary, image, iterations=0), start)


def test_beliefs_are_float32_whatever_the_surroundings_compute_in():
    unary, image = picture()
    wanted = mean_field(unary, image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = mean_field(unary, image)
    assert torch.equal(found, wanted)


def test_unaries_are_bounded_and_finite():
    logits = torch.tensor([[0.0, 100.0, torch.inf, torch.nan, -torch.inf], [0.0, 0.0, 0.0, 5.0, -torch.inf]])
    found = unaries(logits)
    half, least = float(np.log(2)), float(-np.log(1e-5))
    wanted = torch.tensor([[half, 0.0, 0.0, half, half], [half, least, least, half, half]])
    torch.testing.assert_close(found, wanted)


def test_one_class_is_certain():
    unary, image = picture(classes=1)
    assert torch.equal(mean_field(unary, image), torch.ones(1, 7, 9))


def test_cells_are_as_fine_as_the_budget_allows_and_no_coarser_than_the_last(monkeypatch):
    points = torch.rand(3000, 2, generator=torch.Generator().manual_seed(0)) * 8
    totals = []
    for budget in (1e9, 100, 0):
        monkeypatch.setattr(module, "AFFORDED", budget)
        sums = affordable(points)
        totals.append(sums.total)
        assert sums.pairs <= budget * 3000 or budget == 0
    assert totals[0] > totals[1] > totals[2] > 0
