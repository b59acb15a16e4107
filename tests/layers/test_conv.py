"""The numbers that a convolution can have: each other one is refused with its key."""

import pytest

from segexp.errors import ConfigError
from segexp.layers.conv import check_kernel, check_width


@pytest.mark.parametrize("side", [0, 4, -3, 3.0, True, None, "3"])
def test_a_kernel_has_a_centre(side):
    check_kernel(5, key="head.kernel")
    with pytest.raises(ConfigError) as error:
        check_kernel(side, key="head.kernel")
    assert str(error.value) == f"a kernel's side is a whole odd number; head.kernel={side}; fix: head.kernel=3|5"


@pytest.mark.parametrize("width", [0, -8, 16.0, True, None, "wide"])
def test_a_width_is_above_0(width):
    check_width(1, key="head.width", usual=32)
    with pytest.raises(ConfigError) as error:
        check_width(width, key="head.width", usual=32)
    assert str(error.value) == f"a width is a whole number of channels above 0; head.width={width}; fix: head.width=32"
