"""Lists of names of classes."""

import pytest

from segexp.data.class_names import distinct, given_classes
from segexp.errors import ConfigError


@pytest.mark.parametrize(("names", "found"), [(["b", "a"], ("b", "a")), (("a",), ("a",)), ([1, "x"], ("1", "x"))])
def test_names_stay_in_order_and_are_text(names, found):
    assert distinct(names) == given_classes(names) == found


@pytest.mark.parametrize("names", ["car", [], ["a", "a"], [1, "1"], ["a", " "], ["a", None], [["a"]], {"a": 1}, 2])
def test_what_is_no_list_of_different_names(names):
    assert distinct(names) is None
    with pytest.raises(ConfigError, match=r"a list of different names is wanted; data\.classes=.*fix: data\.classes=\[cat,dog\], or null"):
        given_classes(names)


def test_no_classes_are_to_be_found():
    assert given_classes(None) is None
