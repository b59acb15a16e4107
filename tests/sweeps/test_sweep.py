"""A sweep's folder: its name says what varies, its id which runs it has."""

import json
import shlex

import pytest

from segexp.config import session
from segexp.runs.directory import RunDirectory
from segexp.sweeps.driver import compose_all, rerun
from segexp.sweeps.jobs import Job
from segexp.sweeps.sweep import Sweep


def folder(*overrides):
    with session():
        return Sweep(compose_all(overrides), "").folder


def test_the_folder_depends_on_the_runs_alone():
    plain = folder("seed=0,1", "optimizer.lr=1e-3,1e-2")
    assert plain.parent.as_posix() == "outputs/default/sweeps"
    assert plain.name.startswith("optimizer.lr-seed-")
    same = [
        folder("optimizer.lr=0.001,1e-2", "seed=1,0"),
        folder("seed=0,1", "optimizer.lr=1e-3,1e-2", "launcher.jobs=4", "run.again=true"),
        folder("seed=0,1,1", "optimizer.lr=1e-3,1e-2"),
    ]
    assert {other.name for other in same} == {plain.name}
    assert folder("seed=0,2", "optimizer.lr=1e-3,1e-2").name[-12:] != plain.name[-12:]
    assert folder("seed=0,1", "optimizer.lr=1e-3,1e-2", "name=mine").parent.as_posix() == "outputs/mine/sweeps"
    assert folder("seed=0").name.startswith("one-")


def test_paths_in_the_record_are_relative_to_its_folder(tmp_path):
    job = Job(1, ["seed=0"], RunDirectory(tmp_path / "default" / "run-abcdefabcdef"))
    sweep = Sweep([job, Job(2, ["seed=x"])], "segexp train -m seed=0,x")
    sweep.jobs[1].fail("config", "segexp: error[config]: no")
    sweep.folder.mkdir(parents=True)
    sweep.write()
    record = json.loads((sweep.folder / "sweep.json").read_text())
    assert record["command"] == "segexp train -m seed=0,x"
    assert record["jobs"] == [
        {
            "overrides": ["seed=0"],
            "run": "abcdefabcdef",
            "path": "../../run-abcdefabcdef",
            "state": "pending",
            "cause": None,
            "error": None,
            "log": "jobs/abcdefabcdef.txt",
            "same_as": None,
        },
        {
            "overrides": ["seed=x"],
            "run": None,
            "path": None,
            "state": "failed",
            "cause": "config",
            "error": "segexp: error[config]: no",
            "log": None,
            "same_as": None,
        },
    ]


@pytest.mark.parametrize(
    ("failures", "typed", "command"),
    [
        (1, ["seed=0,1", "run.again=true"], ["seed=0,1"]),
        (2, ["seed=0,1"], ["seed=0,1", "run.max_attempts=3"]),
        (4, ["run.max_attempts=3", "name='a b'"], ["name='a b'", "run.max_attempts=5"]),
    ],
)
def test_the_command_that_reruns_grants_attempts_where_they_are_used_up(tmp_path, monkeypatch, failures, typed, command):
    monkeypatch.setattr("segexp.sweeps.driver.allowed", lambda: ())
    job = Job(1, ["seed=0"], RunDirectory(tmp_path), settings={"run": {"max_attempts": 2, "again": False}})
    (tmp_path / "status.json").write_text(json.dumps({"state": "failed", "attempt": 1, "step": 0, "error": None, "failures": failures}))
    job.fail("exit 1", "")
    assert shlex.split(rerun([job], typed)) == ["segexp", "train", "-m", *command]
