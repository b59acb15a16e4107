"""Every decoder of conf/decoder keeps its promise: true strides, whatever the levels; and learns from a single image."""

import pytest
import torch

from segexp.config import compose, make, session
from segexp.errors import WiringError
from segexp.overrides import options
from segexp.types import Level

SPECS = {
    "stride 32": {"c1": Level(8, 2), "c2": Level(12, 4), "c3": Level(16, 8), "c4": Level(24, 16), "c5": Level(32, 32)},
    "stride 16": {"c1": Level(8, 2), "c2": Level(12, 4), "c3": Level(16, 8), "c4": Level(24, 16), "c5": Level(32, 16)},
    "stride 8": {"c1": Level(8, 2), "c2": Level(12, 4), "c3": Level(16, 8), "c4": Level(24, 8), "c5": Level(32, 8)},
    "without c1": {"c2": Level(12, 4), "c3": Level(16, 8), "c4": Level(24, 16), "c5": Level(32, 32)},
    "one stride": {"c2": Level(24, 16), "c3": Level(24, 16), "c4": Level(24, 16), "c5": Level(24, 16)},
}
OURS = [name for name in options("decoder") if name != "identity"]
NARROW = {"upernet": {"width": 32}, "dpt": {"widths": [8, 8, 8, 8], "width": 16}, "segformer": {"width": 32}}


@pytest.fixture(scope="module")
def decoders():
    """The options of the group, as callables."""
    with session():
        return {name: make(compose("train", [f"decoder={name}"]).decoder) for name in options("decoder")}


def features(spec, height, width, batch=1):
    return {name: torch.randn(batch, c, height // s, width // s, requires_grad=True) for name, (c, s) in spec.items()}


@pytest.mark.parametrize("name", options("decoder"))
@pytest.mark.parametrize("levels", SPECS)
def test_levels_are_what_the_spec_says(decoders, name, levels):
    spec = SPECS[levels]
    if (name, levels) == ("unetplusplus", "one stride"):
        with pytest.raises(WiringError, match=r"U-Net\+\+ needs a level of stride 4 or less; it is given c2 at 16.*fix: decoder=.*unet"):
            decoders[name](spec)
        return
    low = {"low": "c2"} if name == "deeplabv3plus_light" and "c1" not in spec else {}
    decoder = decoders[name](spec, **{**NARROW.get(name, {}), **low}).train()
    deepest = max(level.stride for level in spec.values())
    height, width = 3 * deepest, 5 * deepest  # multiples of the deepest stride, and of no more
    given = features(spec, height, width)
    out = decoder(given)
    assert set(out) == set(decoder.spec)
    for level, (channels, stride) in decoder.spec.items():
        assert out[level].shape == (1, channels, -(-height // stride), -(-width // stride))
        assert out[level].isfinite().all()


@pytest.mark.parametrize("name", OURS)
def test_a_single_image_trains(decoders, name):
    """A map that is pooled to one cell has one value per channel, of which BatchNorm alone would make an error."""
    decoder = decoders[name](SPECS["stride 32"], **NARROW.get(name, {})).train()
    out = decoder(features(SPECS["stride 32"], 64, 32))  # the deepest level has two cells
    sum((level * torch.randn_like(level)).sum() for level in out.values()).backward()
    assert not [key for key, p in decoder.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


@pytest.mark.parametrize("name", OURS)
def test_images_of_a_batch_do_not_mix(decoders, name):
    spec = SPECS["stride 16"]
    decoder = decoders[name](spec, **NARROW.get(name, {})).eval()
    given = features(spec, 48, 80, batch=2)
    whole, second = decoder(given), decoder({level: x[1:] for level, x in given.items()})
    for level, x in whole.items():
        torch.testing.assert_close(x[1:], second[level], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in OURS if name != "dual_deeplab"])  # whose parts are named in test_parallel
def test_a_lacking_level_is_named(decoders, name):
    keys = {"level": "c9"} if name in ("deeplabv3", "fcn", "large_fov", "pspnet") else {"levels": ["c2", "c3", "c4", "c9"]}
    keys = {"high": "c9"} if name.startswith("deeplabv3plus") else keys
    with pytest.raises(WiringError, match="needs the level c9; it is given c1, c2, c3, c4, c5; fix: decoder") as caught:
        decoders[name](SPECS["stride 32"], **keys)
    (key,) = keys
    assert caught.value.fix.startswith(f"decoder.{key}=" + ("[c1,c2,c3,c4,c5]" if key == "levels" else "c1|c2|c3|c4|c5"))
