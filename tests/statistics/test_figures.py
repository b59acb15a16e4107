"""What the images of real runs say, taken together, is what their `result.json` says: for every figure of every task."""

import json
import math

import pytest

from segexp.cli.main import main
from segexp.errors import SegexpError
from segexp.statistics.figures import figure_of, owner, rises, whole
from segexp.statistics.leaderboard import leaderboard
from segexp.statistics.records import FinishedRun, image_ids, image_records, read_runs

TINY = [
    *("data.height=64", "data.width=64", "data.train=4", "data.val=6", "data.test=3", "data.loader.batch_size=2"),
    *("backbone=timm", "backbone.name=test_resnet", "trainer.max_epochs=1", "trainer.accelerator=cpu", "callbacks.panels=null"),
]
TASKS = {
    "classification": ["task=classification"],
    "several": ["task=multi_label"],
    "detection": ["task=detection"],
    "semantic": ["task=semantic", "metrics=[semantic,boundary]"],
    "panoptic": ["task=panoptic", "metrics=[panoptic,boundary_panoptic,semantic,instance,boundary_instance]"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Task -> its run."""
    place = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name, words in TASKS.items():
            assert main(["train", f"name={name}", *words, *TINY]) == 0
    done, _ = read_runs([path.parent for path in place.glob("outputs/*/*/result.json")])
    return {run.config["name"]: run for run in done}


@pytest.mark.parametrize("task", TASKS)
def test_every_figure_is_that_of_the_result(runs, task):
    run = runs[task]
    for split, count in (("val", 6), ("test", 3)):
        images = image_ids(run.path, split)
        assert len(images) == count
        for name, value in run.result[split].items():
            if name.partition("/")[0] != "loss":
                found = whole(figure_of(run, f"{split}/{name}", images), count)
                assert found == pytest.approx(math.nan if value is None else value, rel=1e-9, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("task", TASKS)
def test_a_board_of_one(runs, task):
    board = leaderboard([runs[task].path], resamples=50)
    assert board.figure == runs[task].result["monitor"]
    assert board.images == 6
    assert board.entries[0].low is not None
    assert any("6 images" in note for note in board.notes)


def test_more_is_better_of_a_metric_and_less_of_a_loss(runs):
    assert rises("val/miou", owner(runs["semantic"], "val/miou")[1])
    assert not rises("val/loss/ce", None)


def test_a_figure_of_no_metric_is_refused(runs):
    with pytest.raises(SegexpError, match=r"no metric of the run gives val/pq; .*; fix: compare by another figure than val/pq"):
        owner(runs["semantic"], "val/pq")


def test_a_run_that_does_not_say_its_classes_is_refused(tmp_path):
    with pytest.raises(SegexpError, match="the run doesn't say its classes and metrics"):
        owner(FinishedRun(tmp_path, {"config": {}}), "val/miou")


def test_images_without_a_record_are_named(runs):
    with pytest.raises(SegexpError, match="1 images have no record of semantic, such as nobody"):
        figure_of(runs["semantic"], "val/miou", ["nobody"])


def test_a_metric_that_can_not_weight_images_says_what_is_missing(runs, monkeypatch):
    monkeypatch.delattr("segexp.metrics.semantic.SemanticMetrics.weighted")
    with pytest.raises(SegexpError, match=r"can't say miou of images that count twice; .*a method weighted\(figure, records\)"):
        figure_of(runs["semantic"], "val/miou", image_ids(runs["semantic"].path, "val"))
    board = leaderboard([runs["semantic"].path])
    assert board.entries[0].low is None
    assert any("can't say miou" in note for note in board.notes)


def test_records_that_somebody_has_rewritten_are_read_too(tmp_path):
    lines = [{"split": "val", "id": 'a "split": "test"', "m": {"x": 1}}, {"id": 'b", "split": "x', "split": "val", "m": {"x": 2}}]
    (tmp_path / "per_image.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    assert image_ids(tmp_path, "val") == ('a "split": "test"', 'b", "split": "x')
    assert image_records(tmp_path, "val", "m") == {'a "split": "test"': {"x": 1}, 'b", "split": "x': {"x": 2}}
    assert image_ids(tmp_path, "test") == ()
    assert image_ids(tmp_path / "nowhere", "val") == ()
