"""Class maps and instance numbers become segments."""

import numpy as np
import pytest
from PIL import Image

from segexp.errors import DataError
from segexp.formats.to_panoptic import combined, read_classes, read_numbers

CLASSES = np.array([[0, 0, 1, 1, 1], [0, 2, 2, 1, -1]])  # 0 is stuff; 1 and 2 are things
NUMBERS = np.array([[0, 5, 1, 1, 2], [0, 1, 1, 0, 3]])
THINGS = frozenset({1, 2})


def parts(found):
    """(Class, crowd, pixels) of each segment."""
    return [
        (label, crowd, sorted(map(tuple, np.argwhere(found.segments.numpy() == place).tolist())))
        for place, (label, crowd) in enumerate(zip(found.labels.tolist(), found.crowd.tolist(), strict=True), 1)
    ]


def test_numbers_may_begin_anew_in_each_class():
    found = combined(CLASSES, NUMBERS, THINGS)
    assert parts(found) == [
        (0, False, [(0, 0), (0, 1), (1, 0)]),
        (1, True, [(1, 3)]),
        (1, False, [(0, 2), (0, 3)]),
        (1, False, [(0, 4)]),
        (2, False, [(1, 1), (1, 2)]),
    ]
    assert int(found.segments[1, 4]) == 0
    assert found.stray == 2


@pytest.mark.parametrize(("loose", "crowds", "segments"), [("crowd", 1, 5), ("object", 0, 5), ("void", 0, 4)])
def test_things_without_a_number(loose, crowds, segments):
    found = combined(CLASSES, NUMBERS, THINGS, loose=loose)
    assert (int(found.crowd.sum()), len(found.labels)) == (crowds, segments)
    assert (int(found.segments[1, 3]) == 0) == (loose == "void")


def test_no_numbers_at_all():
    found = combined(CLASSES, None, THINGS, loose="object")
    assert found.labels.tolist() == [0, 1, 2]
    assert found.stray == 0


def test_nothing_but_void():
    found = combined(np.full((2, 2), -1), None, THINGS)
    assert found.segments.unique().tolist() == [0]
    assert len(found.labels) == 0


def test_values_become_class_ids(tmp_path):
    Image.fromarray(np.array([[7, 26, 255]], np.uint8)).save(tmp_path / "a.png")
    assert read_classes(tmp_path / "a.png", {7: 0, 26: 1}, frozenset({255})).tolist() == [[0, 1, -1]]
    with pytest.raises(DataError, match=r"values that no class has: \[26\]"):
        read_classes(tmp_path / "a.png", {7: 0}, frozenset({255}))


def test_a_mask_for_each_object(tmp_path):
    for name, columns in (("b", [2, 3]), ("a", [0])):
        mask = np.zeros((2, 4), np.uint8)
        mask[:, columns] = 255
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
    assert read_numbers(tmp_path).tolist() == [[1, 0, 2, 2]] * 2
    Image.fromarray(mask).save(tmp_path / "c.png")
    with pytest.raises(DataError, match=r"2 pixels belong to a.png, too") as error:
        read_numbers(tmp_path)
    assert error.value.where.endswith("c.png")


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="the folder has no mask"):
        read_numbers(tmp_path)
