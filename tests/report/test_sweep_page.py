"""The page of a sweep as text: what it holds, what it escapes, and that it stays small and asks for nothing."""

import json
import re
import shutil

import pytest
from PIL import Image

from segexp.errors import ConfigError, SegexpError
from segexp.report.common_pictures import common_pictures
from segexp.report.document import text
from segexp.report.failures import failures
from segexp.report.members import members
from segexp.report.settings import label, told_apart
from segexp.report.sweep import write_sweep_report
from segexp.statistics.board import Entry
from tests.report import fabricate


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_sweep_report(fabricate.small_sweep(tmp_path_factory.mktemp("outputs") / "made"))


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)[1])


def entry(settings, overrides=()):
    return Entry("", tuple(overrides), settings, (), (), (0.5,), 0.5)


def test_its_data(written):
    data = data_of(written)
    assert data["keys"] == ["backbone", "optimizer.lr"]
    best = data["settings"][0]
    assert (best["label"], best["seeds"]) == ("backbone=large optimizer.lr=0.1", [0, 1])
    assert best["mean"] == pytest.approx(0.611, abs=1e-4)
    assert best["low"] < best["mean"] < best["high"]
    assert [data["runs"][run]["command"] for run in best["runs"]] == [
        f"segexp train backbone=large optimizer.lr=0.1 seed={seed}" for seed in (0, 1)
    ]
    assert len(data["pairs"]) == 6
    assert [pair[-1] for pair in data["pairs"] if pair[:2] == [0, 2]] == [1]  # large is better than small
    assert len(data["details"]) == 11
    assert set(data["details"]["0"]["config"]) == {"backbone", "optimizer.lr", "seed"}
    assert len(data["pictures"]) == 2


def test_it_stands_alone_and_has_its_tables(written):
    page = written.read_text()
    assert "default-src 'none'" in page
    head = page[: page.index("<script>")]
    assert not re.search(r'(?:src|href)="(?!data:)', head)
    assert "http://" not in head and "https://" not in head
    for name in ("leaderboard.csv", "leaderboard.md", "leaderboard.tex"):
        assert "large" in (written.parent / name).read_text()


def test_another_figure_and_one_that_is_not_there(tmp_path):
    fabricate.small_sweep(tmp_path / "made")
    page = write_sweep_report(tmp_path / "made", figure="val/loss")
    data = data_of(page)
    assert (data["figure"], data["higher"]) == ("val/loss", False)
    assert data["settings"][0]["label"] == "backbone=large optimizer.lr=0.1"
    with pytest.raises(SegexpError, match="no run has the figure val/nothing"):
        write_sweep_report(tmp_path / "made", figure="val/nothing")


def test_without_a_finished_run_it_says_so_and_shows_the_failures(tmp_path):
    error = {"code": "data", "what": "no <such> folder", "where": "data.root", "fix": "give one"}
    fabricate.run(tmp_path / "made", 1, {"backbone": "a"}, 0, 0, state="failed", error=error)
    page = write_sweep_report(tmp_path / "made").read_text()
    assert "Nothing can be compared yet: no run is done." in page
    assert "no &lt;such&gt; folder" in page and "the last thing it said" in page
    assert not (tmp_path / "made" / "leaderboard.csv").exists()


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the folder holds no runs"):
        write_sweep_report(tmp_path)


def test_text_cannot_leave_its_script_element():
    made = text({"a": "</script><!--", "b": float("nan"), "c": [float("inf"), 0.1234567890123], "d": (1, None)})
    assert "<" not in made
    assert json.loads(made) == {"a": "</script><!--", "b": None, "c": [None, 0.123457], "d": [1, None]}


def test_settings_are_told_apart_as_typed():
    rows = told_apart([entry({}, ["backbone=a", "optimizer.lr=0.1", "x=1"]), entry({}, ["backbone=b", "optimizer.lr=0.1", "x=1"])])
    assert rows == [{"backbone": "a"}, {"backbone": "b"}]
    assert label(rows[0]) == "backbone=a"
    assert label({"lr": 0.027238771150751, "n": 3, "absent": None}) == "lr=0.027239 n=3"


def test_settings_that_were_not_typed_are_told_apart_by_what_varies():
    shared = {"backbone.weights": "a.pt", "backbone.name": "a", "loss._target_": "segexp.losses.dice.Dice", "lr": 1}
    other = {"backbone.weights": "b.pt", "backbone.name": "b", "loss._target_": "segexp.losses.ce.CrossEntropy", "lr": 1}
    third = shared | {"lr": 2}
    assert told_apart([entry(shared), entry(other), entry(third)]) == [
        {"backbone": "a", "lr": 1},
        {"backbone": "b", "lr": 1},
        {"backbone": "a", "lr": 2},
    ]


def test_failures_of_one_error_stand_together(tmp_path):
    found = failures(members(fabricate.small_sweep(tmp_path / "made")))
    assert len(found) == 1
    assert found[0].same == ("segexp train backbone=vast optimizer.lr=0.01 seed=0",)
    assert found[0].lines == ("starting", "loading data", "the last thing it said")


def test_pictures_that_most_runs_have(tmp_path):
    runs = [fabricate.run(tmp_path, i, {"a": i}, 0, 0.5, pictures=count) for i, count in enumerate((3, 2, 1))]
    Image.new("RGB", (3000, 500)).save(runs[0] / "images" / "test__000000.png")
    shutil.copy(runs[0] / "images" / "test__000000.png", runs[1] / "images")
    (runs[2] / "images" / "val__000001.png").write_text("broken")
    found = common_pictures(runs)
    assert {name: sorted(row) for name, row in found.items()} == {
        "val__000000.png": [0, 1, 2],
        "val__000001.png": [0, 1],
        "test__000000.png": [0, 1],
    }
    assert list(common_pictures(runs[:2], "test")) == ["test__000000.png", "val__000000.png", "val__000001.png"]
    assert common_pictures(runs, limit=1).keys() == {"val__000000.png"}
    assert common_pictures(runs, budget=10) == {}


def test_a_setting_that_gives_no_key_that_others_give_has_a_name():
    assert label({"backbone.weights": "run:1", "optimizer.lr": 0.01}) == "backbone.weights=run:1 optimizer.lr=0.01"
    assert label({"backbone.weights": None, "optimizer.lr": None}) == "without backbone.weights, optimizer.lr"
    assert label({}) == "the only setting"
