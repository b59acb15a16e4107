"""Parts of a stage: completed alike, and each says its own place of what is wrong."""

import pytest

from segexp.errors import ConfigError, WiringError
from segexp.functional.parts import completed


def test_each_part_is_completed_with_the_same():
    assert completed("head", {"a": lambda x, y: x + y, "b": lambda x, y: x * y}, 2, 3) == {"a": 5, "b": 6}


def test_a_part_names_its_place_and_the_kind_of_error_stays():
    def refuse(_):
        raise WiringError("too wide", where="head.width=9, overhead.width", fix="head.width=3")

    with pytest.raises(WiringError) as caught:
        completed("head", {"roi": refuse}, 1)
    assert (caught.value.what, caught.value.where) == ("too wide", "head.parts.roi.width=9, overhead.width")
    assert caught.value.fix == "head.parts.roi.width=3"


def test_no_part():
    with pytest.raises(ConfigError, match=r"it needs one part at least; loss\.parts; fix: loss=semantic_roi has two"):
        completed("loss", {})
