"""Decoders side by side: levels by the names of the parts."""

from functools import partial

import pytest
import torch

from segexp.decoders.deeplabv3plus import DeepLabV3Plus
from segexp.decoders.identity import Identity
from segexp.decoders.parallel import Parallel
from segexp.errors import ConfigError
from segexp.types import Level

SPEC = {"c2": Level(24, 4), "c5": Level(64, 16)}


def test_each_part_emits_a_level_of_its_name():
    parts = {"semantic": partial(DeepLabV3Plus, width=16), "instance": partial(DeepLabV3Plus, width=8)}
    decoder = Parallel(SPEC, parts=parts).eval()
    assert decoder.spec == {"semantic": Level(16, 4), "instance": Level(8, 4)}
    maps = {"c2": torch.randn(1, 24, 8, 8), "c5": torch.randn(1, 64, 2, 2)}
    with torch.no_grad():
        found = decoder(maps)
        assert torch.equal(found["instance"], decoder.parts["instance"](maps)["semantic"])
    assert found["semantic"].shape == (1, 16, 8, 8)


def test_nothing_is_shared():
    decoder = Parallel(SPEC, parts={name: partial(DeepLabV3Plus, width=16) for name in ("semantic", "instance")})
    names = [name for name, _ in decoder.named_parameters()]
    assert len(names) == len(set(names)) == 2 * len(list(DeepLabV3Plus(SPEC, width=16).parameters()))


def test_refusals():
    with pytest.raises(ConfigError, match=r"it needs one decoder at least; decoder\.parts; fix: decoder=dual_deeplab has two"):
        Parallel(SPEC, parts={})
    with pytest.raises(ConfigError, match=r"Identity emits c2, c5, not semantic; decoder.parts.x; fix: a decoder that emits it"):
        Parallel(SPEC, parts={"x": Identity})
