"""What a sweep's jobs were composed to is kept, and known only as long as nothing that it depends on has changed."""

import json
from pathlib import Path

import pytest

from segexp.config import session
from segexp.runs.directory import RunDirectory
from segexp.sweeps import known
from segexp.sweeps.driver import compose_all, sweep
from segexp.sweeps.known import fill

OVERRIDES = ("seed=0,1,2", "backbone=resnet10t,resnet18")


@pytest.fixture
def done(place):
    """A sweep that is done, run once."""
    jobs = compose_all(OVERRIDES)
    for job in jobs:
        job.run.path.mkdir(parents=True)
        job.run.finish({"monitor": "val/miou", "val": {"miou": 0.5}, "steps": 4, "seconds": 1.0})
    assert sweep(OVERRIDES) == 0
    return jobs


def composed(monkeypatch, *overrides):
    """The jobs of overrides, and how many of them had to be composed."""
    seen = []
    plain = known.composed
    monkeypatch.setattr(known, "composed", lambda number, own: seen.append(number) or plain(number, own))
    return compose_all(overrides), len(seen)


def test_the_same_command_composes_one_job_and_finds_the_same_runs(done, monkeypatch, capsys):
    jobs, count = composed(monkeypatch, *OVERRIDES)
    assert (count, [job.id for job in jobs], [job.settings for job in jobs]) == (
        1,
        [job.id for job in done],
        [job.settings for job in done],
    )
    capsys.readouterr()
    assert sweep(OVERRIDES) == 0
    assert "6 jobs: 6 done, 0 failed, 0 to run" in capsys.readouterr().out


def test_other_overrides_and_another_environment_are_composed(done, monkeypatch, tmp_path):
    assert composed(monkeypatch, "seed=0,1,2", "backbone=resnet18,resnet10t")[1] == 6
    assert composed(monkeypatch, *OVERRIDES, "optimizer.lr=0.5")[1] == 6
    monkeypatch.setenv("SEGEXP_DATA", str(tmp_path))
    assert composed(monkeypatch, *OVERRIDES)[1] == 6


def test_a_changed_config_file_is_seen(done, monkeypatch):
    plain = Path.read_text

    def edited(path, **kwargs):
        return plain(path, **kwargs) + ("\n# a change" if path.name == "adamw.yaml" else "")

    monkeypatch.setattr(Path, "read_text", edited)
    assert composed(monkeypatch, *OVERRIDES)[1] == 6


def test_a_broken_table_is_as_good_as_none(done, monkeypatch):
    (table,) = Path("outputs/default/sweeps").glob("*/composed-*.json")
    table.write_text("{")
    assert composed(monkeypatch, *OVERRIDES)[1] == 6


def test_a_job_that_was_only_known_is_composed_before_it_starts(done):
    job = compose_all(OVERRIDES)[3]
    assert job.config == ""
    before = job.id
    with session():
        fill(job)
    assert ("seed: 1" in job.config, job.id, job.number, isinstance(job.directory, RunDirectory)) == (True, before, 4, True)


def test_the_table_names_runs_below_the_outputs_folder(done):
    (table,) = Path("outputs/default/sweeps").glob("*/composed-*.json")
    rows = json.loads(table.read_text())
    assert rows["seed=0\nbackbone=resnet10t"]["run"] == f"default/{done[0].run.path.name}"
