"""Reading a run directory, whole or in ruins."""

import json

from segexp.report.record import flatten, number, read_run


def test_a_finished_run_is_read_without_notes(run):
    record = read_run(run)
    assert record.notes == ()
    assert record.status["attempt"] == 2 and record.result["val"]["miou"] == 0.55
    assert record.command == "segexp train model=unet seed=7"
    assert [p.name for p in record.images] == ["a__bad.png", "a__good.png"]


def test_series_are_sorted_by_step_and_null_values_left_out(run):
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 3, "name": "val/miou", "value": 0.1}) + "\n")
        file.write(json.dumps({"step": 9, "name": "val/miou", "value": 0.6}) + "\n")
    series = read_run(run).series
    assert series["val/miou"] == [(3.0, 0.1), (9.0, 0.6)]  # a step logged again: the later value
    assert "val/iou/dog" not in series
    assert len(series["train/loss"]) == 10


def test_the_first_record_of_an_image_counts(run):
    assert read_run(run).per_image["a/bad"]["split"] == "val"


def test_references_are_followed_but_the_environment_is_not_read(run, monkeypatch):
    monkeypatch.setenv("SECRET_PLACE", "hunter2")
    config = read_run(run).config
    assert config["twice"] == 0.01
    assert config["data.root"] == "${oc.env:SECRET_PLACE}/camvid"
    assert config["optimizer.betas"] == [0.9, 0.999]


def test_references_in_a_circle_or_to_nothing_end(run):
    (run / "config.yaml").write_text("a: ${b}\nb: ${a}\nc: x${nowhere}\n")
    config = read_run(run).config
    assert config["a"] in ("${a}", "${b}") and config["c"] == "x${nowhere}"


def test_an_empty_directory_gives_an_empty_record_that_names_what_is_absent(tmp_path):
    record = read_run(tmp_path)
    assert record.status == record.result == record.config == record.series == record.per_image == {}
    absent = {"status.json", "manifest.json", "result.json", "config.yaml", "metrics.jsonl", "per_image.jsonl"}
    assert {note.split()[0] for note in record.notes} == absent


def test_broken_files_are_noted_and_the_rest_is_read(run):
    (run / "result.json").write_text('{"val": ')
    (run / "config.yaml").write_text("a: [1,")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 10, "na')
    (run / "manifest.json").write_text("[1, 2]")
    record = read_run(run)
    assert len(record.series["train/loss"]) == 10 and record.manifest == {}
    assert "metrics.jsonl: 1 line can't be read" in record.notes
    assert any(note.startswith("result.json can't be read") for note in record.notes)
    assert any(note.startswith("config.yaml can't be read") for note in record.notes)


def test_curves_and_config_of_the_result_stand_in_for_absent_files(run):
    (run / "metrics.jsonl").unlink()
    (run / "config.yaml").unlink()
    result = {"curves": {"val/miou": [[5, 0.2], [1, 0.1], [9, None]], "odd": "text"}, "config": {"optimizer.lr": 0.01}}
    (run / "result.json").write_text(json.dumps(result))
    record = read_run(run)
    assert record.series == {"val/miou": [(1.0, 0.1), (5.0, 0.2)]}
    assert record.config == {"optimizer.lr": 0.01}


def test_flatten_keeps_plain_lists_and_opens_lists_of_records():
    nested = {"a": {"b": 1, "c": []}, "d": [{"e": 2}, 3], "f": [1, 2], "g": {}}
    assert flatten(nested) == {"a.b": 1, "a.c": [], "d.0.e": 2, "d.1": 3, "f": [1, 2], "g": {}}
    assert flatten(None) == {}


def test_number_takes_finite_numbers_only():
    assert [number(x) for x in (1, 0.5, True, "1", None, float("nan"), float("inf"))] == [1.0, 0.5, None, None, None, None, None]
