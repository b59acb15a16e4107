"""Decoders side by side: levels by the names of the parts."""

from functools import partial

import pytest
import torch

from segexp.decoders.deeplabv3plus import DeepLabV3Plus
from segexp.decoders.identity import Identity
from segexp.decoders.parallel import Parallel
from segexp.errors import ConfigError, WiringError
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


@pytest.mark.parametrize(
    ("options", "kind", "where", "fix"),
    [
        (
            {"low_width": 0},
            ConfigError,
            "decoder.parts.instance.low=c2, decoder.parts.instance.low_width=0",
            "decoder.parts.instance.low=c2",
        ),
        ({"aspp_separable": "x"}, ConfigError, "decoder.parts.instance.aspp_separable=x", "decoder.parts.instance.aspp_separable=false|"),
        ({"low": "c3"}, WiringError, "it is given c2, c5", "decoder.parts.instance.low=c2|c5; or a backbone that has what lacks"),
    ],
)
def test_what_a_part_refuses_has_the_keys_of_that_part(options, kind, where, fix):
    with pytest.raises(ConfigError) as caught:
        Parallel(SPEC, parts={"semantic": partial(DeepLabV3Plus, width=16), "instance": partial(DeepLabV3Plus, **options)})
    assert type(caught.value) is kind
    assert caught.value.where == where
    assert caught.value.fix.startswith(fix)


def test_keys_of_a_part_of_a_part():
    with pytest.raises(ConfigError) as caught:
        Parallel(SPEC, parts={"a": partial(Parallel, parts={"b": partial(DeepLabV3Plus, width=0)})})
    assert caught.value.where == "decoder.parts.a.parts.b.width=0"
