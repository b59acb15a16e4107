"""Splits of files: what is read, and what is refused with its path."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from segexp.data.labelled import ColorTable, LabelledFiles, ValueTable, fingerprint
from segexp.errors import DataError
from segexp.types import ClassInfo, DataSpec

SPEC = DataSpec((ClassInfo("a"), ClassInfo("b")), frozenset({"semantic"}))
RED, BLUE = 0xFF0000, 0x0000FF


def save(path, rows, dtype=np.uint8):
    Image.fromarray(np.array(rows, dtype)).save(path)
    return path


def test_values_become_ids_and_void_is_ignored(tmp_path):
    table = ValueTable([0, [7, 9]], [3], SPEC)
    assert table(save(tmp_path / "a.png", [[0, 7], [9, 3]]))["semantic"].tolist() == [[0, 1], [1, 255]]
    assert table(tmp_path / "a.png")["semantic"].dtype == torch.uint8


def test_255_and_wide_values_can_be_classes(tmp_path):
    assert ValueTable([0, 255], [], SPEC)(save(tmp_path / "a.png", [[0, 255]]))["semantic"].tolist() == [[0, 1]]
    table = ValueTable([40_000, 2], [], SPEC)
    assert table(save(tmp_path / "w.png", [[40_000, 2]], np.uint16))["semantic"].tolist() == [[0, 1]]


def test_unknown_values_are_named_with_their_pixels(tmp_path):
    table = ValueTable([0, 1, 2, 7], [255], SPEC)
    with pytest.raises(DataError) as caught:
        table(save(tmp_path / "a.png", [[0, 9, 9], [4, 255, 9]]))
    assert caught.value.what == "label values that no class has: 9 in 3 pixels, 4 in 1 pixels; known are 0..2, 7, 255"
    assert caught.value.where == str(tmp_path / "a.png")
    with pytest.raises(DataError, match="no class has: 65535 in 1 pixels"):
        table(save(tmp_path / "w.png", [[0, 65_535]], np.uint16))
    with pytest.raises(DataError, match=r"in 1 pixels and 4 more; known"):
        table(save(tmp_path / "many.png", [list(range(10, 22))]))


def test_colours_become_ids(tmp_path):
    table = ColorTable([0, [RED, BLUE]], [0x010203], SPEC)
    path = save(tmp_path / "a.png", [[[0, 0, 0], [255, 0, 0], [0, 0, 255], [1, 2, 3]]])
    assert table(path)["semantic"].tolist() == [[0, 1, 1, 255]]
    with pytest.raises(DataError) as caught:
        table(save(tmp_path / "b.png", [[[0, 0, 0], [255, 0, 1], [255, 255, 255]]]))
    told = "label colours that no class has: [255,0,1] in 1 pixels, [255,255,255] in 1 pixels; known are [0,0,0], [0,0,255]"
    assert caught.value.what.startswith(told)


def split(tmp_path, *, channels=3, labels=True):
    def place(key):
        return tmp_path / f"{key}.png", tmp_path / f"{key}_l.png" if labels else None

    return LabelledFiles("val", ["x/é", "y"], place, ValueTable([0, 1], [], SPEC), channels=channels, id=lambda key: key[-1])


@pytest.fixture
def pair(tmp_path):
    (tmp_path / "x").mkdir()
    save(tmp_path / "x" / "é.png", np.full((4, 5), 9))
    save(tmp_path / "x" / "é_l.png", np.ones((4, 5)))
    return tmp_path


def test_a_sample(pair):
    found = split(pair)
    assert (len(found), found.key(0), found.id(0), found.paths(1)) == (2, "x/é", "val/é", (pair / "y.png", pair / "y_l.png"))
    sample = found[0]
    assert (sample["image"].shape, sample["semantic"].shape) == ((3, 4, 5), (4, 5))
    assert sample["meta"] == {"id": "val/é", "size": (4, 5), "path": str(pair / "x" / "é_l.png")}
    assert split(pair, channels=1)[0]["image"].shape == (1, 4, 5)


def test_without_labels_a_sample_is_a_picture(pair):
    sample = split(pair, labels=False)[0]
    assert set(sample) == {"image", "meta"}
    assert sample["meta"]["path"] == str(pair / "x" / "é.png")


def test_sizes_that_differ_and_missing_files(pair):
    save(pair / "x" / "é_l.png", np.ones((5, 4)))
    with pytest.raises(DataError, match=r"the image is \(4, 5\), its labels are \(5, 4\); .*é\.png and .*é_l\.png"):
        split(pair)[0]
    with pytest.raises(DataError, match=r"the file is missing; .*y\.png"):
        split(pair)[1]


def test_tables_travel_to_workers(pair):
    table = pickle.loads(pickle.dumps(ColorTable([0, RED], [], SPEC)))
    assert table(save(pair / "c.png", [[[255, 0, 0]]]))["semantic"].tolist() == [[1]]


def test_the_fingerprint_sees_names_and_sizes(pair):
    class Data:
        splits = ("val",)

        def open(self, name):
            return split(pair)

    before = fingerprint(Data())
    assert fingerprint(Data()) == before
    save(pair / "y.png", np.zeros((9, 9)))
    assert fingerprint(Data()) != before
