"""Which levels a U-shaped decoder climbs, and the channels of its steps."""

import pytest

from segexp.decoders.levels import climb, four, ladder, need
from segexp.errors import ConfigError, WiringError
from segexp.types import Level

WHOLE = {f"c{i}": Level(10 * i, 2**i) for i in range(1, 6)}
DILATED = {**WHOLE, "c5": Level(50, 16)}
WIDTHS = (256, 128, 64, 32, 16)


def test_a_whole_pyramid():
    steps = ladder(WHOLE, None, by="it", doubling=True)
    assert steps == (("c1", "c2", "c3", "c4", "c5"), (1, 2, 4, 8, 16, 32), (0, 10, 20, 30, 40, 50))
    assert steps.blanks == 1
    assert climb(steps, WIDTHS) == ([256, 128, 64, 32, 16], 1)


def test_levels_that_are_not_there_are_sizes_without_channels():
    steps = ladder({name: WHOLE[name] for name in ("c3", "c4")}, None, by="it", doubling=True)
    assert steps == (("c3", "c4"), (1, 2, 4, 8, 16), (0, 0, 0, 30, 40))
    assert steps.blanks == 3
    assert climb(steps, WIDTHS) == ([128, 64, 32, 16], 1)  # a width belongs to a stride


def test_of_levels_with_one_stride_the_deepest_counts_where_steps_double():
    assert ladder(DILATED, None, by="it", doubling=True).names == ("c1", "c2", "c3", "c5")
    steps = ladder(DILATED, None, by="it", doubling=False)
    assert steps.names == ("c1", "c2", "c3", "c4", "c5")
    assert climb(steps, WIDTHS) == ([256, 128, 64, 32, 16], 1)


def test_fewer_widths_end_coarser():
    steps = ladder(WHOLE, None, by="it", doubling=True)
    assert climb(steps, (256, 128, 64)) == ([256, 128, 64], 4)
    assert climb(steps, (256,)) == ([256], 16)


@pytest.mark.parametrize(
    ("deepest", "widths", "fix"), [(8, (256, 128), "3 to 5 values"), (32, (), "1 to 5 values"), (32, (1,) * 6, "1 to 5 values")]
)
def test_a_number_of_widths_that_can_not_be(deepest, widths, fix):
    steps = ladder({name: level for name, level in WHOLE.items() if level.stride <= deepest}, None, by="it", doubling=True)
    with pytest.raises(ConfigError, match="they are the channels at the strides 16, 8, 4, 2, 1") as caught:
        climb(steps, widths)
    assert caught.value.fix == fix


def test_a_jump_is_refused_where_steps_double():
    with pytest.raises(WiringError, match="it needs levels whose strides double; it is given c2 at 4, c4 at 16; fix: decoder="):
        ladder(WHOLE, ["c2", "c4"], by="it", doubling=True)
    assert ladder(WHOLE, ["c2", "c4"], by="it", doubling=False).strides == (1, 2, 4, 16)


def test_every_key_that_is_wrong_is_named():
    with pytest.raises(WiringError) as caught:
        need(DILATED, by="It", low="c0", high="c5", levels=["c2", "c7"])
    assert caught.value.what == "It needs the levels c0, c7"
    assert caught.value.fix.startswith("decoder.low=c1|c2|c3|c4|c5, decoder.levels=[c1,c2,c3,c4,c5];")


def test_four_levels():
    assert four(WHOLE, ["c1", "c2", "c4", "c5"], by="It") == ["c1", "c2", "c4", "c5"]
    with pytest.raises(ConfigError, match=r"It reads four levels; decoder.levels=\[c2,c3\]"):
        four(WHOLE, ["c2", "c3"], by="It")
