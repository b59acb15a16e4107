"""The page at a sweep's end: written anew unless nothing can have changed."""

import os
from types import SimpleNamespace

import pytest

from segexp.sweeps.page import page


@pytest.fixture
def whole(tmp_path, monkeypatch):
    """A sweep of two jobs, the second of which isn't done; its page counts how often it was written."""
    (tmp_path / "result.json").write_text("{}")
    jobs = [SimpleNamespace(state=state, run=SimpleNamespace(result_file=tmp_path / "result.json")) for state in ("done", "failed")]

    def write(folder, figure=None):
        target = folder / "report.html"
        target.write_text(target.read_text() + "." if target.exists() else ".")
        return target

    monkeypatch.setattr("segexp.report.sweep.write_sweep_report", write)
    return SimpleNamespace(folder=tmp_path, jobs=jobs)


def test_a_page_is_written_again_while_a_job_is_not_done(whole):
    page(whole)
    assert page(whole).read_text() == ".."  # what failed now may have been interrupted then


def test_the_page_of_a_sweep_that_is_done_stays_until_there_is_a_newer_result(whole):
    whole.jobs[1].state = "pruned"
    page(whole)
    assert page(whole).read_text() == "."
    after = (whole.folder / "report.html").stat().st_mtime_ns + 10
    os.utime(whole.folder / "result.json", ns=(after, after))
    assert page(whole).read_text() == ".."


def test_there_is_no_page_without_a_result(whole):
    whole.jobs = whole.jobs[1:]
    assert page(whole) is None
