"""Figures of a page, worked out by hand."""

import pytest

from segexp.report.figures import class_table, classes, duration, facts, figure, tiles
from segexp.report.record import RunRecord, read_run


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.5, "0.5000"), (0.0, "0.0000"), (-0.25, "-0.2500"), (12.3456, "12.35"), (1234.5, "1,234"), (1.2e-7, "1.2e-07")],
)
def test_figure(value, text):
    assert figure(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(4.21, "4.2 s"), (200, "3 min 20 s"), (4384.2, "1 h 13 min"), (3599.7, "1 h 00 min"), (None, ""), ("long", ""), (-1, "")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_tiles_stand_by_split_with_the_monitored_figure_first_and_its_best(run):
    (val, first), (test, second) = tiles(read_run(run))
    assert (val, test) == ("val", "test")
    assert [t.label for t in first] == ["mIoU", "pixel accuracy", "loss"] and [t.label for t in second] == ["mIoU"]
    assert first[0].value == "0.5500" and first[0].main and not first[1].main
    assert first[0].detail == "val · best 0.5512 at step 800"
    assert second[0].detail == "test"


def test_the_best_may_be_called_a_score():
    record = RunRecord(path=None, config={"monitor": "val/pq"}, result={"val": {"pq": 0.1}, "best": {"score": 0.25}})
    assert tiles(record)[0][1][0].detail == "val · best 0.2500"


def test_the_monitored_figure_comes_first_whatever_the_usual_order():
    record = RunRecord(path=None, config={"monitor": "val/pixel_acc"}, result={"val": {"miou": 0.1, "pixel_acc": 0.2}})
    assert [t.label for t in tiles(record)[0][1]] == ["pixel accuracy", "mIoU"]


def test_an_unfinished_run_shows_the_last_logged_values_and_their_step(run):
    (run / "result.json").unlink()
    (_, val), (_, train) = tiles(read_run(run))
    assert [(t.label, t.value, t.detail) for t in val] == [("mIoU", "0.4000", "val · last logged, step 9")]
    assert [(t.label, t.value) for t in train] == [("loss", "1.1000")]


def test_no_figures_no_tiles(tmp_path):
    assert tiles(read_run(tmp_path)) == []
    assert facts(read_run(tmp_path)) == []


def test_a_figure_that_is_null_is_a_dash():
    assert tiles(RunRecord(path=None, result={"val": {"miou": None}}))[0][1][0].value == "–"


def test_facts(run):
    found = dict(facts(read_run(run)))
    assert found == {
        "attempt": "2",
        "step": "1,200",
        "started": "2026-01-02 03:04:05 UTC",
        "duration": "1 h 13 min",
        "parameters": "12,345,678",
        "seed": "7",
        "commit": "0123456789",
        "monitor": "val/miou",
    }


def test_uncommitted_changes_are_said():
    record = RunRecord(path=None, manifest={"git": {"commit": "abc", "patch": "+1"}})
    assert facts(record) == [("commit", "abc + uncommitted changes")]


def test_classes_are_found_wherever_the_manifest_keeps_them(run):
    assert classes(read_run(run)) == [("road", "rgb(128, 64, 128)"), ("car", "rgb(0, 0, 142)"), ("dog", "rgb(10, 20, 30)")]
    nested = {"classes": ["not", "records"], "deep": {"spec": {"classes": [{"name": "x", "color": [300, 0, 0]}]}}}
    assert classes(RunRecord(path=None, manifest=nested)) == [("x", "")]  # a colour that is none is left out


def test_class_table_has_a_column_per_split_and_none_for_absent_classes(run):
    table = class_table(read_run(run))
    assert table.columns == (("val", "iou"), ("test", "iou"))
    assert [(r.name, r.values) for r in table.rows] == [("road", (0.75, 0.5)), ("car", (0.35, 0.5)), ("dog", (None, None))]
    assert table.has_share and [r.share for r in table.rows] == [90 / 200, 110 / 200, 0]  # 70 + 20, 30 + 80 of 200


def test_class_table_without_a_manifest_keeps_the_order_of_the_figures(run):
    (run / "manifest.json").unlink()
    table = class_table(read_run(run))
    assert [(r.name, r.color, r.share) for r in table.rows] == [("road", "", None), ("car", "", None), ("dog", "", None)]


def test_class_table_is_empty_without_figures_of_classes():
    assert class_table(RunRecord(path=None, result={"val": {"miou": 1.0, "loss/ce": 2.0}})).rows == ()
