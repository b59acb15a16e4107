import pytest

from segexp.check.kinds import choice, example, fits, wanted

GOOD = [
    (3, "float"),
    (3, "int | None"),
    (None, "Optional[int]"),
    (None, "None | str"),
    ([1, 2], "Sequence[int]"),
    ([0.9, 1], "tuple[float, float]"),
    ([1, 2, 3], "tuple[int, ...]"),
    ("a", "Literal['a', 'b']"),
    ("x", "Union[str, Strategy]"),
    ({"a": 1.5}, "Mapping[str, float]"),
    ({"_target_": "a.B"}, "Tensor | float"),
    ({"_target_": "a.B"}, "Callable[..., Any]"),
    (object(), "Whatever"),
    ("x", ""),
]
BAD = [
    ("1e-3x", "float | Tensor", "a number", "0.001"),
    (True, "int", "a whole number", "1"),
    (1.5, "int", "a whole number", "2"),
    (None, "float", "a number", ""),
    ("p3", "Sequence[str]", "a list, each item text", "[p3]"),
    ([0.9], "tuple[float, float]", "a list of 2: a number, a number", "[0.9,0.9]"),
    (64, "Sequence[int] | None", "a list, each item a whole number or null", "[64]"),
    ("ture", "bool", "true or false", "true"),
    (1, "bool", "true or false", "true"),
    (50, "str", "text", "\"'50'\""),
    (3, "Callable[..., Any]", "a section with a _target_", ""),
]


@pytest.mark.parametrize(("value", "annotation"), GOOD)
def test_what_fits(value, annotation):
    assert fits(value, annotation)


@pytest.mark.parametrize(("value", "annotation", "words", "near"), BAD)
def test_what_does_not_fit(value, annotation, words, near):
    assert not fits(value, annotation)
    assert (wanted(annotation), example(value, annotation)) == (words, near)


def test_none_where_it_is_the_default():
    assert fits(None, "int", "None") and not fits(None, "int", "3")


def test_words():
    assert choice("mutabel", "Literal['mutable', 'immutable']").startswith("did you mean mutable")
    assert example("x", "float", 0.1) == "0.1"
