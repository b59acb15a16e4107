from itertools import pairwise

from segexp.functional.palette import distinct_colors


def test_colors_are_distinct_and_more_classes_change_none_before():
    many = distinct_colors(256)
    assert len(set(many)) == 256
    assert distinct_colors(10) == many[:10]
    assert all(0 <= channel <= 255 for color in many for channel in color)
    steps = [sum(abs(a - b) for a, b in zip(x, y, strict=True)) for x, y in pairwise(many)]
    assert min(steps) > 60  # neighbours can be told apart
