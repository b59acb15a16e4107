"""Ids as colours."""

import numpy as np
import pytest
from PIL import Image

from segexp.functional.panoptic_png import grey_fault, numbered, pack_ids, read_ids, tight_boxes, write_ids


def test_ids_survive_the_file(tmp_path):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 1 << 24, (40, 50))
    ids[0, :4] = [0, 255, 256, (1 << 24) - 1]
    write_ids(tmp_path / "a.png", ids.astype(np.int32))
    assert np.array_equal(read_ids(tmp_path / "a.png"), ids)


def test_narrow_types_dont_overflow():
    assert pack_ids(np.array([[300]], np.int16)).tolist() == [[[44, 1, 0]]]
    assert pack_ids(np.array([[200]], np.uint8)).tolist() == [[[200, 0, 0]]]


@pytest.mark.parametrize("wrong", [-1, 1 << 24])
def test_ids_that_dont_fit_are_refused(wrong):
    with pytest.raises(ValueError, match=r"a panoptic PNG holds 0\.\.16777215"):
        pack_ids(np.array([[wrong]]))


def test_numbers_follow_the_order_of_the_segments():
    ids = np.array([[0, 900, 7], [7, 70000, 900]], np.int32)
    numbers, strangers = numbered(ids, np.array([70000, 7, 900]))
    assert numbers.tolist() == [[0, 3, 2], [2, 1, 3]]
    assert not strangers
    assert numbered(ids, np.array([7, 900]))[1]


def test_boxes_are_tight():
    rng = np.random.default_rng(1)
    numbers = rng.integers(0, 40, (9, 11)) * (rng.random((9, 11)) < 0.3)
    found = tight_boxes(numbers, 40)
    for segment in range(1, 41):
        ys, xs = np.nonzero(numbers == segment)
        expected = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1] if len(xs) else [0, 0, 0, 0]
        assert found[segment - 1].tolist() == expected


@pytest.mark.parametrize(
    ("values", "known", "told"),
    [
        ([0, 44], [300], "ids were cut to 8 bit, such as 300 to 44"),
        ([0, 5, 9], [5, 9], "holds the ids as values"),
        ([0, 5], [1000], "a grey PNG where ids as"),
        ([0, 5], [5 * 0x010101], ""),
        ([0], [300], ""),
    ],
)
def test_grey_files(tmp_path, values, known, told):
    Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "a.png")
    found = grey_fault(tmp_path / "a.png", np.array(known))
    assert told in found
    assert bool(found) == bool(told)


def test_a_palette_of_ids_is_no_grey_file(tmp_path):
    colors = Image.fromarray(pack_ids(np.array([[300, 70000], [0, 300]])))
    colors.quantize(3).save(tmp_path / "a.png")
    assert grey_fault(tmp_path / "a.png", np.array([300, 70000])) == ""
    assert read_ids(tmp_path / "a.png").tolist() == [[300, 70000], [0, 300]]
