"""Windows: where they lie, how they blend, and what they never change."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segexp.config import compose, make
from segexp.errors import ConfigError
from segexp.protocols.multi_scale import mirror
from segexp.protocols.sliding import Sliding, cuts, positions
from segexp.types import SemanticLogits
from tests.protocols.networks import SIZES, batch, model, pointwise


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 200), st.integers(1, 64), st.floats(0, 0.99))
def test_windows_cover_symmetrically_as_near_as_asked_and_weights_add_up_to_one(length, window, overlap):
    placed = cuts(length, window, overlap)
    starts, side = [start for start, _ in placed], min(window, length)
    assert starts[0] == 0 and starts[-1] == length - side
    assert all(start + mirrored == length - side for start, mirrored in zip(starts, reversed(starts), strict=True))
    stride = max(1, int(side * (1 - overlap)))
    assert all(0 < b - a <= stride for a, b in pairwise(starts))
    total, reverse = torch.zeros(length), torch.zeros(length)
    for start, weight in placed:
        total[start : start + side] += weight
        reverse[start : start + side] += weight.flip(0)
        assert len(weight) == side and weight.min() > 0
    assert torch.allclose(total, torch.ones(length), atol=1e-6)
    assert all(torch.equal(a, b.flip(0)) for (_, a), (_, b) in zip(placed, reversed(placed), strict=True))


def test_positions_by_hand():
    assert positions(10, 10, 5) == [0]
    assert positions(20, 10, 5) == [0, 5, 10]
    assert positions(11, 10, 5) == [0, 1]
    assert positions(19, 10, 5) == [0, 3, 6, 9]
    assert positions(18, 10, 5) == [0, 4, 8]


def test_a_network_that_sees_single_pixels_gives_what_one_pass_does():
    images = batch()
    once = pointwise(images, SIZES).logits.softmax(1)
    for overlap in (0.0, 0.3, 0.8):
        found = Sliding(window=[16, 20], overlap=overlap, batch=3)(pointwise, images, SIZES).logits.exp()
        for i, (height, width) in enumerate(SIZES):
            assert torch.allclose(found[i, :, :height, :width], once[i, :, :height, :width], atol=1e-5)


def test_where_the_window_holds_the_image_it_is_one_pass():
    images = batch()
    found, plain = (model(protocol).predict(images, SIZES) for protocol in (Sliding(window=[64, 64]), None))
    assert all(torch.equal(one.semantic, other.semantic) for one, other in zip(found, plain, strict=True))


def symmetric(images, sizes):
    """A network of strong context that doesn't tell left from right."""
    kernel = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64) - 0.5
    x = torch.nn.functional.conv2d(images.double(), kernel + kernel.flip(-1), padding=2)
    return SemanticLogits((x * 2).round().float(), 1)  # whole numbers: its own sums are exact


def test_of_a_symmetric_network_a_mirrored_image_has_the_mirrored_result_bit_by_bit():
    images = batch()
    sizes = (*SIZES[:2], (37, 33))
    assert torch.equal(mirror(symmetric(images, sizes).logits, ((37, 51),) * 3), symmetric(images.flip(-1), sizes).logits)
    for overlap in (0.2, 0.7):
        protocol = Sliding(window=[16, 15], overlap=overlap, batch=2)
        straight, mirrored = (protocol(symmetric, x, sizes).logits for x in (images, mirror(images, sizes)))
        assert torch.equal(mirror(straight, sizes), mirrored)


def test_with_flip_any_network_is_mirrored_bit_by_bit():
    images, found = batch(), model(Sliding(window=[16, 24], flip=True, scales=[0.8, 1.0], batch=2))
    straight, mirrored = (found.output(x, SIZES).logits for x in (images, mirror(images, SIZES)))
    assert torch.equal(mirror(straight, SIZES), mirrored)


def test_the_order_and_the_number_of_windows_at_a_time_do_not_matter():
    images = batch()
    first, second = (Sliding(window=[16, 16], overlap=0.6, batch=n)(symmetric, images, SIZES).logits for n in (1, 7))
    assert torch.equal(first, second)


def ramps(images, sizes):
    """A network that says where in its window a pixel lies: the worst for seams."""
    height, width = images.shape[-2:]
    slope = torch.linspace(0, 4, width).expand(len(images), height, width)
    return SemanticLogits(torch.stack([slope, 4 - slope], 1), 1)


def test_there_are_no_seams():
    images, sizes = torch.zeros(1, 3, 20, 192), ((20, 192),)
    steps = {}
    for overlap in (0.0, 0.5):
        found = Sliding(window=[20, 64], overlap=overlap)(ramps, images, sizes).logits.exp()[0, 0]
        steps[overlap] = float(found.diff(dim=1).abs().max())
    within = float(ramps(images[..., :64], sizes).logits.softmax(1)[0, 0].diff(dim=1).abs().max())
    assert steps[0.5] < 3 * within
    assert steps[0.0] > 5 * steps[0.5]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"window": [512]}, r"a window is a height and a width; protocol.window=\[512\]"),
        ({"window": [0, 8]}, "a window is a height and a width"),
        ({"window": [8, 8], "overlap": 1.0}, "overlap is a share of the window, below 1; protocol.overlap=1.0"),
        ({"window": [8, 8], "batch": 0}, "at least one window is predicted at a time; protocol.batch=0"),
        ({"window": [8, 8], "scales": []}, "scales are numbers above 0"),
    ],
)
def test_values_that_make_no_sense_are_refused(keys, text):
    with pytest.raises(ConfigError, match=text):
        Sliding(**keys)


def test_the_shipped_option():
    found = make(compose("train", ["protocol=sliding", "protocol.window=[64,96]", "protocol.flip=true"]).protocol)
    assert (found.window, found.around.flip) == ((64, 96), True)
