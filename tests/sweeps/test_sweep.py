"""A sweep's folder: its name says what varies, its id which runs it has."""

import json
import shlex

import pytest

from segexp.config import session
from segexp.errors import SegexpError
from segexp.runs.directory import RunDirectory
from segexp.sweeps.driver import _tell, compose_all, rerun
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
    settings = {"run": {"again": False}}
    job = Job(1, ["seed=0"], RunDirectory(tmp_path / "default" / "run-abcdefabcdef"), settings=settings)
    sweep = Sweep([job, Job(2, ["seed=x"])], "segexp train -m seed=0,x")
    sweep.jobs[1].fail("config", "segexp: error[config]: no")
    sweep.folder.mkdir(parents=True)
    sweep.write()
    record = json.loads((sweep.folder / "sweep.json").read_text())
    assert record["command"] == "segexp train -m seed=0,x"
    assert (record["unfinished"], record["again"]) == (True, False)
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
    monkeypatch.setattr("segexp.allow._added", ())
    job = Job(1, ["seed=0"], RunDirectory(tmp_path), settings={"run": {"max_attempts": 2, "again": False}})
    (tmp_path / "status.json").write_text(json.dumps({"state": "failed", "attempt": 1, "step": 0, "error": None, "failures": failures}))
    job.fail("exit 1", "")
    assert shlex.split(rerun([job], typed)) == ["segexp", "train", "-m", *command]


def sweep_of(folder, *states, again=True):
    """A sweep of so many runs, each in its state, as it was written."""
    jobs = []
    for number, state in enumerate(states, 1):
        run = RunDirectory(folder / "default" / f"run-{number:012x}")
        jobs.append(Job(number, [f"seed={number}"], run, settings={"run": {"again": again}}, state=state))
    made = Sweep(jobs, "segexp train -m")
    made.folder.mkdir(parents=True, exist_ok=True)
    made.write()
    return made


@pytest.mark.parametrize(
    ("states", "again", "done"),
    [
        (("done", "pending"), True, {f"{1:012x}"}),
        (("done", "running"), True, {f"{1:012x}"}),  # its driver was killed
        (("done", "done"), True, set()),  # nothing was left: the next time is another time
        (("done", "failed"), True, set()),
        (("done", "pending"), False, set()),  # they were done, and not again
    ],
)
def test_what_a_sweep_that_was_stopped_has_done_again(tmp_path, states, again, done):
    made = sweep_of(tmp_path, *states, again=again)
    assert made.done_before() == done


def test_a_record_that_is_not_there_or_broken_says_that_nothing_was_done(tmp_path):
    made = sweep_of(tmp_path, "done", "pending")
    (made.folder / "sweep.json").write_text("{")
    assert made.done_before() == set()
    (made.folder / "sweep.json").unlink()
    assert made.done_before() == set()


@pytest.mark.parametrize(("causes", "same"), [(["exit 2", "config", "wiring"], False), (["exit 2", "exit 1"], True)])
def test_the_same_command_is_not_advised_where_it_can_only_fail_again(tmp_path, monkeypatch, causes, same):
    monkeypatch.setattr("segexp.allow._added", ())
    whole = sweep_of(tmp_path, *["pending"] * len(causes), again=False)
    for job, cause in zip(whole.jobs, causes, strict=True):
        job.settings["run"]["max_attempts"] = 2
        job.fail(cause, f"segexp: error[{cause}]: no")
    with pytest.raises(SegexpError) as caught:
        _tell(whole, ["seed=1,2,3"], None)
    fix = "segexp train -m seed=1,2,3" if same else "mend what is said of job 1, 2, 3; what is done isn't run again"
    assert caught.value.fix == fix
