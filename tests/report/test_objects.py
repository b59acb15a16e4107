"""Precision by recall and AP by size, from the records of single images."""

import json

import pytest

from segexp.report.objects import object_figures
from segexp.report.page import render
from segexp.report.record import read_run
from tests.report.conftest import write_lines

# a small and a large car, of which the large one is found; a wrong car between; a dog in another picture that is found with an IoU of 0.7
FIRST = {
    "labels": [1, 1],
    "areas": [400.0, 10_000.0],
    "scores": [0.9, 0.5],
    "objects": [[1, 0], [1, 0]],
    "object_areas": [100.0, 10_000.0],
    "pairs": [[1, 1]],
    "ious": [1.0],
}
SECOND = {
    "labels": [2],
    "areas": [2000.0],
    "scores": [0.3],
    "objects": [[2, 0]],
    "object_areas": [2000.0],
    "pairs": [[0, 0]],
    "ious": [0.7],
}
EMPTY = {name: [] for name in FIRST}


def with_records(run, *records, name="detection"):
    write_lines(run / "per_image.jsonl", [{"id": f"a/{i}", "split": "val", name: record} for i, record in enumerate(records)])
    return read_run(run)


def test_by_hand(run):
    (found,) = object_figures(with_records(run, FIRST, EMPTY, SECOND))
    assert (found.title, found.split, found.images) == ("Boxes", "val", 3)
    half = 51 / 101 / 2  # cars: precision 1/2 up to a recall of 1/2
    rows = {row.name.split(",")[0]: (row.objects, row.precision, row.recall) for row in found.sizes}
    assert rows["all"] == (3, pytest.approx((half + 0.5) / 2), pytest.approx((0.5 + 0.5) / 2))  # dogs: five of ten IoUs
    assert rows["small"] == (1, 0, 0)
    assert rows["medium"] == (1, pytest.approx(0.5), pytest.approx(0.5))
    assert rows["large"] == (1, 1, 1)
    lines = {line.name: line.last for line in found.chart.lines}
    assert lines == pytest.approx({"IoU 0.50": (half + 1) / 2, "IoU 0.65": (half + 1) / 2, "IoU 0.75": half / 2, "IoU 0.90": half / 2})


def test_the_page_shows_them(run):
    text = render(with_records(run, FIRST, SECOND, name="instance"))
    assert "Masks <small>val, of 2 pictures" in text
    assert 'aria-label="Masks: precision by recall"' in text and "large, ≥ 96²" in text
    assert "Boxes <small>" not in text


def test_a_size_without_objects_is_said_to_be_none(run):
    (found,) = object_figures(with_records(run, SECOND))
    assert [row.precision for row in found.sizes] == [pytest.approx(0.5), None, pytest.approx(0.5), None]
    assert render(with_records(run, SECOND)).count('<span class="absent">none</span>') == 4


def test_nothing_but_empty_pictures(run):
    (found,) = object_figures(with_records(run, EMPTY))
    assert [row.objects for row in found.sizes] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "strange",
    [
        {"scores": 3},
        FIRST | {"pairs": [[5, 0]]},
        FIRST | {"pairs": [[0, -1]]},
        FIRST | {"labels": [1, 3]},
        FIRST | {"objects": [[1, 0, 5], [2]]},
        {k: v for k, v in FIRST.items() if k != "ious"},
        {"detections": [[0, 4]], "overlaps": []},
    ],
)
def test_records_of_another_version_are_left_out(run, strange):
    assert object_figures(with_records(run, FIRST, strange)) == []
    assert "</html>" in render(with_records(run, strange))


def test_a_run_without_such_records_has_none(run):
    assert object_figures(read_run(run)) == []
    (run / "per_image.jsonl").write_text(json.dumps({"id": "a", "split": "val", "detection": None}) + "\n")
    assert object_figures(read_run(run)) == []
