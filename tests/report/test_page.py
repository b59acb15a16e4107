"""The page of a run: self-contained, complete, and safe whatever the files say."""

import json
import re
from html.parser import HTMLParser

import pytest

from segexp.errors import ConfigError
from segexp.report.page import MAX_TEXT, grouped, plain, write_report

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Tags, ids, attributes and text of a page; every opened tag must be closed."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.raw, self.tags, self.ids, self.links, self.open, self.words = text, [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [v for k, v in attrs if k == "id"]
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href", "action")]
        assert not any(k.startswith("on") for k, _ in attrs)
        self.open += [tag] if tag not in self.VOID else []

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open = self.open[:-1] if tag not in self.VOID else self.open

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def page(run):
    return Page(write_report(run).read_text(encoding="utf-8"))


def test_a_finished_run(run):
    found = page(run)
    for text in ("unet-1a2b3c done", "segexp train model=unet seed=7", "mIoU 0.5500", "best 0.5512 at step 800", "1 h 13 min"):
        assert text in found.text
    assert "0.7500" in found.text and "rgb(128, 64, 128)" in found.raw and "width: 75.0%" in found.raw
    assert "2 of 2, worst first" in found.text and found.text.index("a/bad") < found.text.index("a/good")
    assert found.tags.count("svg") == 2 and found.tags.count("details") == 2
    assert "Not on this page" not in found.text


def test_a_class_that_is_null_is_absent(run):
    assert page(run).text.count("class absent") == 2  # dog, of val and of test


def test_nothing_is_loaded_from_outside(run):
    found = page(run)
    assert not re.search(r"https?://|[\"'(]//|@import|url\((?!#)", found.raw)
    assert found.links and all(link.startswith(("data:image/png;base64,", "#")) for link in found.links)
    assert "default-src 'none'" in found.raw and "prefers-color-scheme: dark" in found.raw


def test_ids_are_unique_and_references_meet_them(run):
    found = page(run)
    assert len(found.ids) == len(set(found.ids))
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)


@pytest.mark.parametrize(
    "drop", ["status.json", "manifest.json", "result.json", "config.yaml", "metrics.jsonl", "per_image.jsonl", "overrides.txt"]
)
def test_any_file_may_be_absent(run, drop):
    (run / drop).unlink()
    found = page(run)
    assert drop == "overrides.txt" or f"{drop} is absent" in found.text


def test_an_empty_directory_gives_a_page_that_says_so(tmp_path):
    found = page(tmp_path)
    assert f"{tmp_path.name} unknown" in found.text and "result.json is absent" in found.text
    assert "svg" not in found.tags and "img" not in found.tags and 'id="copy"' not in found.raw


def test_the_command_of_the_manifest_stands_in(run):
    (run / "overrides.txt").unlink()
    (run / "manifest.json").write_text('{"command": "segexp train seed=8"}')
    assert "segexp train seed=8 copy" in page(run).text


def test_an_unfinished_run_shows_where_it_is(run):
    (run / "result.json").unlink()
    (run / "status.json").write_text(json.dumps({"state": "running", "attempt": 1, "step": 9, "error": None}))
    found = page(run)
    assert "unet-1a2b3c running" in found.text and "last logged, step 9" in found.text and 'role="alert"' not in found.raw


def test_a_failed_run_says_what_where_and_how_to_mend_it(run):
    (run / "result.json").unlink()
    error = {"code": "nonfinite", "what": "the loss is nan", "where": "samples a/bad", "fix": "optimizer.lr=0.003"}
    (run / "status.json").write_text(json.dumps({"state": "failed", "attempt": 2, "step": 120, "error": error}))
    (run / "traceback.txt").write_text("Traceback: line 3")
    found = page(run)
    assert "nonfinite the loss is nan where samples a/bad fix optimizer.lr=0.003" in found.text
    assert "state-failed" in found.raw and "Traceback: line 3" in found.text


def test_hostile_text_is_only_text(run):
    (run / "config.yaml").write_text(f"monitor: val/miou\nnote: {json.dumps(EVIL)}\n")
    (run / "overrides.txt").write_text(f"segexp train note={EVIL}")
    (run / "status.json").write_text(json.dumps({"state": EVIL, "attempt": EVIL, "error": {"code": EVIL, "what": EVIL, "fix": EVIL}}))
    (run / "metrics.jsonl").write_text(json.dumps({"step": 1, "name": EVIL, "value": 2.0}))
    (run / "result.json").write_text(json.dumps({"val": {f"iou/{EVIL}": 0.5}}))
    (run / "traceback.txt").write_text(EVIL)
    found = page(run)
    assert found.tags.count("script") == 1 and found.tags.count("img") == 2
    assert "<script>alert" not in found.raw and found.text.count("alert('x')") >= 8


def test_text_that_is_no_text_does_not_stop_the_page(run):
    (run / "status.json").write_text('{"state": "failed", "error": {"code": "x", "what": "half a character: \\ud800"}}')
    assert "half a character: ?" in page(run).text


def test_configuration_and_environment_are_listed_without_the_classes(run):
    found = page(run)
    assert "root ${oc.env:SECRET_PLACE}/camvid" in found.text and "betas [0.9, 0.999]" in found.text
    assert "torch 2.6" in found.text and "is_thing" not in found.text


def test_writing_again_replaces_the_page_and_leaves_nothing_else(run):
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert sorted(p.name for p in run.glob("*report*")) == ["report.html"]


def test_a_missing_directory_is_an_error_with_its_fix(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no such run directory; .*nowhere; fix: give a run's folder; they lie in outputs/"):
        write_report(tmp_path / "nowhere")


def test_leaves_are_grouped_by_their_first_part():
    leaves = {"seed": 1, "data.root": "x", "name": "y", "data.loader.workers": 0}
    assert grouped(leaves) == [("", [("seed", "1"), ("name", "y")]), ("data", [("root", "x"), ("loader.workers", "0")])]


def test_long_values_are_cut_and_say_by_how_much():
    assert plain("a" * MAX_TEXT) == "a" * MAX_TEXT
    assert plain("a" * (MAX_TEXT + 1500)).endswith("a … 1,500 characters more in the file")
    assert plain(None) == "null" and plain([1, "b"]) == '[1, "b"]'
