"""Panels inside the page: order, captions, size."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from segexp.report.pictures import MAX_BYTES, MAX_WIDTH, galleries
from segexp.report.record import read_run


def pictures(record, **limit):
    return [picture for gallery in galleries(record, **limit) for picture in gallery.pictures]


def decode(picture):
    head, _, data = picture.source.partition(",")
    return head, Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_worst_image_comes_first_and_captions_say_why(run):
    Image.new("RGB", (10, 10)).save(run / "images" / "unknown.png")
    (gallery,) = galleries(read_run(run))
    found = gallery.pictures
    assert (gallery.title, gallery.note) == ("Pictures", "3 of 3, worst first")
    assert [(p.name, p.caption) for p in found] == [
        ("a/bad", "val · mIoU 0.0500"),
        ("a/good", "val · mIoU 0.6190"),  # (60 / 70 + 1 + 0) / 3
        ("unknown", ""),
    ]


def test_without_records_pictures_come_by_name(run):
    (run / "per_image.jsonl").unlink()
    assert [(p.name, p.caption) for p in pictures(read_run(run))] == [("a__bad", ""), ("a__good", "")]


def test_no_more_than_the_limit(run):
    assert [p.name for p in pictures(read_run(run), limit=1)] == ["a/bad"]


def test_a_small_picture_is_kept_to_the_byte(run):
    picture = pictures(read_run(run))[0]
    head, image = decode(picture)
    assert head == "data:image/png;base64" and image.size == (picture.width, picture.height) == (40, 20)
    assert base64.b64decode(picture.source.partition(",")[2]) == (run / "images" / "a__bad.png").read_bytes()


def test_a_large_picture_is_made_smaller(run):
    smooth = np.random.default_rng(0).integers(0, 255, (60, 320, 3), dtype=np.uint8)
    Image.fromarray(smooth).resize((1920, 360), Image.Resampling.BICUBIC).save(run / "images" / "a__bad.png")
    assert (run / "images" / "a__bad.png").stat().st_size > MAX_BYTES
    picture = pictures(read_run(run))[0]
    head, image = decode(picture)
    assert head == "data:image/jpeg;base64" and image.size == (MAX_WIDTH, 300)
    assert len(picture.source) < 1.4 * MAX_BYTES


def test_a_broken_picture_is_left_out(run):
    (run / "images" / "a__bad.png").write_bytes(b"no picture")
    assert [p.name for p in pictures(read_run(run))] == ["a/good"]


def test_the_index_makes_galleries_each_picture_in_the_first_that_names_it(run):
    for name in ("c", "d"):
        Image.new("RGB", (8, 8)).save(run / "images" / f"{name}.png")
    index = {
        "test": {"first": ["d.png"]},
        "val": {"first": ["a__good.png", "c.png"], "worst": ["a__bad.png", "gone.png"], "best": ["a__good.png"]},
    }
    (run / "images" / "index.json").write_text(json.dumps(index))
    found = [(g.title, [p.name for p in g.pictures]) for g in galleries(read_run(run))]
    assert found == [("Worst pictures", ["a/bad"]), ("Best pictures", ["a/good"]), ("First pictures", ["c"])]


def test_panoptic_quality_is_named_where_it_was_measured(run):
    records = [
        {"id": "a/good", "split": "val", "panoptic": {"matches": [[0, 9, 10]], "wrong": [0, 0], "missed": [0, 0]}},
        {"id": "a/bad", "split": "val", "panoptic": {"matches": [[0, 6, 10]], "wrong": [0, 1], "missed": [0, 0]}},
    ]
    (run / "per_image.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    index = {"val": {"worst": ["a__bad.png"], "first": ["a__good.png"]}}
    (run / "images" / "index.json").write_text(json.dumps(index))
    worst, first = galleries(read_run(run))
    assert worst.note == "of val, by the PQ of the single picture"
    assert [p.caption for p in (*worst.pictures, *first.pictures)] == ["val · PQ 0.3000", "val · PQ 0.9000"]


@pytest.mark.parametrize(
    ("record", "word", "value"),
    [
        ({"classification": {"truth": 1, "predicted": 0, "rank": 1, "score": 0.25}}, "score of the true class", "0.2500"),
        ({"multi_label": {"scores": [0.9, 0.2], "shown": [True, True]}}, "F1 of classes", "0.6667"),
    ],
)
def test_pictures_of_whole_image_labels_say_by_what_they_are_ranked_and_its_value(run, record, word, value):
    (run / "per_image.jsonl").write_text(json.dumps({"id": "a/bad", "split": "val"} | record) + "\n")
    (run / "images" / "index.json").write_text(json.dumps({"val": {"worst": ["a__bad.png"]}}))
    (worst,) = galleries(read_run(run))
    assert worst.note == f"of val, by the {word} of the single picture"
    assert worst.pictures[0].caption == f"val · {word} {value}"
