"""Figures against values worked out by hand, and against the figures that came with CamVid."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from segexp.data.camvid import CamVid
from segexp.doctor.examine import facts_type
from segexp.doctor.scan import Scan, scan
from segexp.doctor.stats import figures, inverse_log, median_frequency, table
from segexp.types import ClassInfo, DataSpec

SHARED = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "data" / "camvid"
SPEC = DataSpec(tuple(ClassInfo(name) for name in ("sky", "road", "car")), frozenset({"semantic"}))


def rows():
    """Three images of 2x5; the last can't be read."""
    found = np.zeros(3, facts_type(SPEC))
    found["read"] = found["labelled"] = [True, True, False]
    found["size"][:2] = (2, 5)
    found["pixels"][:2] = [[4, 4, 0], [2, 7, 0]]
    found["void"][:2] = [2, 1]
    found["sums"][0] = [[10, 5, 0], [10, 2.5, 0]]
    found["sums"][1] = [[0, 5, 0], [0, 2.5, 0]]
    return found


def test_by_hand():
    found = figures([Scan("train", None, rows(), [])], SPEC)["train"]
    assert (found["images"], found["unreadable"], found["labelled"]) == (3, 1, 2)
    assert found["sizes"] == [{"height": 2, "width": 5, "images": 2}]
    assert found["mean"] == [0.5, 0.5, 0.0]
    assert found["std"] == [0.5, 0.0, 0.0]
    assert found["void_share"] == pytest.approx(3 / 20)
    assert found["classes"]["road"] == {"pixels": 11, "share": pytest.approx(11 / 17), "images": 2}
    # frequencies 6/20 and 11/20, their median 8.5/20; a class without a pixel gets 1
    assert found["weights"]["median_frequency"] == [pytest.approx(8.5 / 6, abs=1e-4), pytest.approx(8.5 / 11, abs=1e-4), 1.0]
    assert found["weights"]["inverse_log"][1] == pytest.approx(1 / np.log(1.02 + 11 / 17), abs=1e-4)


def test_weights_of_classes_that_are_rare_among_few_images():
    pixels, sizes = np.array([[5, 5, 0], [10, 0, 0], [0, 0, 0]]), np.array([[2, 5]] * 3)
    assert median_frequency(pixels, sizes).tolist() == [pytest.approx(0.625 / 0.75), 1.25, 1.0]  # frequencies 15/20, 5/10
    assert inverse_log(np.array([1, 0, 0])).tolist() == [pytest.approx(1 / np.log(2.02)), 1.0, 1.0]


def test_the_table_can_be_pasted():
    lines = table(figures([Scan("train", None, rows(), []), Scan("val", None, rows()[:2], [])], SPEC), SPEC)
    text = "\n".join(lines)
    assert "train: 3 images, 1 unreadable; width x height (images): 5x2 (2)" in text
    assert "'loss.class_weights=[1.417,0.7727,1]'" in text
    assert "void: 15.00% of the pixels" in text
    row = next(line for line in lines if line.split()[1:2] == ["road"])
    assert row.split() == ["1", "road", "11", "64.706%", "2", "11", "64.706%", "2"]


def test_pictures_without_labels_have_figures_too():
    found = rows()
    found["labelled"] = False
    part = figures([Scan("test", None, found, [])], SPEC)
    assert "classes" not in part["test"]
    assert table(part, SPEC)[0].startswith("test: 3 images")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data (SEGEXP_SHARED or ../shared): CamVid")
def test_camvid_agrees_with_its_own_figures():
    data = CamVid(root=str(SHARED))
    found = figures([scan(data, "val")], data.spec)["val"]
    known = json.loads((SHARED / "stats.json").read_text())["val"]
    names = data.spec.names
    assert [found["classes"][name]["pixels"] for name in names] == [known["pixels"][name] for name in names]
    assert [found["classes"][name]["images"] for name in names] == [known["images_with_class"][name] for name in names]
    assert found["weights"]["median_frequency"] == [known["median_freq_weights"][name] for name in names]
    assert found["void_share"] == pytest.approx(known["void_fraction"], abs=1e-6)
    assert found["mean"] == pytest.approx(known["rgb_mean"], abs=1e-3)  # theirs are of the pictures before JPEG
    assert found["std"] == pytest.approx(known["rgb_std"], abs=1e-3)
