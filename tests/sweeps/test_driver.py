"""A sweep from the command to its table and its end, with runs that take no time."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segexp.cli.main import main
from segexp.runs.directory import RunDirectory
from segexp.runs.lock import held
from tests.sweeps.conftest import SMALL, alive, command


def sweep(*overrides):
    return main(["train", "-m", *SMALL, *overrides])


def rows(name="default"):
    """The rows of the one sweep there is, and the sweep's folder."""
    (folder,) = Path("outputs", name, "sweeps").iterdir()
    return json.loads((folder / "sweep.json").read_text())["jobs"], folder


def starts(folder):
    """How often each run was started."""
    return {log.stem: log.read_text().count("starts") for log in (folder / "jobs").glob("*.txt") if log.stem != "server"}


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_every_end_of_a_job_has_its_name_and_the_others_finish(stubbed, capsys):
    faults = ("fine", "error", "exit_0", "leave", "leave_5", "segfault", "kill", "memory", "sleep", "sleep_deaf")
    code = sweep(f"+loss.fault={','.join(faults)}", "launcher.jobs=3", "launcher.time_limit=3", "launcher.grace=1")
    out, err = capsys.readouterr()
    found, folder = rows()
    assert code == 1
    assert {row["overrides"][-4].partition("=")[2]: (row["state"], row["cause"]) for row in found} == {
        "fine": ("done", None),
        "error": ("failed", "exit 1"),
        "exit_0": ("failed", "exit 0 without a result"),
        "leave": ("failed", "exit 0 without a result"),
        "leave_5": ("failed", "exit 5"),
        "segfault": ("failed", "SIGSEGV"),
        "kill": ("failed", "SIGKILL"),
        "memory": ("failed", "out of memory"),
        "sleep": ("failed", "time limit"),
        "sleep_deaf": ("failed", "time limit"),
    }
    assert "\n6   failed (SIGSEGV) " in out
    assert "val/miou 0.5000  4      1  +loss.fault=fine" in out
    assert "segexp: error[unexpected]: RuntimeError: a bug" in err
    assert "error[killed]: the process ended by SIGSEGV" in err
    assert "error[killed]: the process was killed at the time limit of 3 s" in err
    assert err.splitlines()[-1].startswith(f"segexp: error[failed]: 9 of 10 jobs failed; {folder}; fix: segexp train -m --allow=tests ")
    for row in found[1:]:
        job = f"segexp train --allow=tests --allow=needy_part --allow=broken_part {shlex.join(row['overrides'])}"
        assert f": {job}\n  {row['error']}\n  log: {folder / row['log']}\n" in err
        status = RunDirectory(folder / row["path"]).read_status()
        assert (status["state"] in ("failed", "killed"), status["failures"]) == (True, 1)


def test_the_same_command_starts_only_what_is_not_done_until_attempts_are_used_up(stubbed, capsys):
    command = ("+loss.fault=fine,error,kill_once", "launcher.jobs=2")
    assert sweep(*command) == 1
    assert sweep(*command) == 1
    found, folder = rows()
    assert [row["state"] for row in found] == ["done", "failed", "done"]
    assert [starts(folder)[row["run"]] for row in found] == [1, 2, 2]
    before = {path: path.read_bytes() for path in folder.glob("**/*") if path.is_file() and path.suffix == ".txt"}
    capsys.readouterr()
    assert sweep(*command) == 1
    out, err = capsys.readouterr()
    assert "3 jobs: 2 done, 1 failed, 0 to run" in out
    assert " starts: " not in out
    assert {path: path.read_bytes() for path in folder.glob("**/*") if path.is_file() and path.suffix == ".txt"} == before
    assert "failed (2 times)" in out
    assert "RuntimeError: a bug" in err
    text = "its attempts are used up: the command at the end grants one more; run.again=true in this one starts from scratch"
    assert text in err
    again = shlex.split(err.splitlines()[-1].partition("fix: ")[2])
    assert again[-1] == "run.max_attempts=3"
    assert main([a for a in again[1:] if not a.startswith("--allow")]) == 1  # it runs only the failed one
    assert [starts(folder)[row["run"]] for row in found] == [1, 3, 2]


def test_nothing_is_imported_for_a_sweep_that_is_done(stubbed):
    assert sweep("seed=0,1") == 0
    program = "import sys; from segexp.cli.main import main; assert main(sys.argv[1:]) == 0; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program, "train", "-m", *SMALL, "seed=0,1"], check=True, timeout=60)


def test_again_starts_what_is_done_and_stays_out_of_the_command_that_reruns(stubbed, capsys):
    assert sweep("seed=0,1") == 0
    assert sweep("seed=0,1", "run.again=true") == 0
    _, folder = rows()
    assert set(starts(folder).values()) == {2}
    capsys.readouterr()
    assert sweep("+loss.fault=error", "run.again=true", "name=other") == 1
    assert "run.again" not in capsys.readouterr().err.splitlines()[-1]


def test_a_job_that_does_not_compose_fails_and_the_others_run(stubbed, capsys):
    assert sweep("seed=0,1", "backbone=timm,resnet8") == 1
    out, err = capsys.readouterr()
    found, _ = rows()
    assert [(row["state"], row["cause"]) for row in found] == [("done", None), ("failed", "config")] * 2
    assert found[1]["run"] is None
    assert "job 2/4 doesn't compose: segexp: error[config]: the group backbone has no option 'resnet8'" in out
    assert "2 of 4 jobs failed" in err


def test_where_no_job_composes_nothing_starts(stubbed, capsys):
    assert sweep("seed=0,1", "optimzer.lr=1") == 2
    assert "optimizer.lr" in capsys.readouterr().err
    assert not Path("outputs").exists()
    assert sweep("seed=0,1", "resume.run=abcd") == 2
    assert "none of the 2 jobs composes; segexp: error[config]: a sweep has many runs; resume.run=abcd" in capsys.readouterr().err


def test_jobs_of_one_run_start_once(stubbed, capsys):
    assert sweep("seed=0,1,0", "trainer.devices=1,1") == 0
    found, folder = rows()
    assert [row["same_as"] for row in found] == [None, 1, None, 3, 1, 1]
    assert {row["state"] for row in found} == {"done"}
    assert set(starts(folder).values()) == {1}
    assert len(starts(folder)) == 2
    assert capsys.readouterr().out.count("(the same run as job 1)") == 3


@pytest.mark.parametrize("spawn", ["fork", "fresh"])
def test_jobs_share_cores_and_devices_whatever_way_they_start(stubbed, spawn):
    settings = ["launcher.jobs=2", "launcher.cores=6", "launcher.gpus=[5,7]", f"launcher.spawn={spawn}"]
    assert sweep("seed=0,1", *settings, "+loss.fault=fine") == 0
    found, folder = rows()
    said = [json.loads((folder / row["path"] / "process.json").read_text()) for row in found]
    assert [one["threads"] for one in said] == [3, 3]
    assert {one["gpus"] for one in said} == {"5", "7"}
    assert sweep("seed=2", *settings, "run.threads=1", "name=own") == 0
    found, folder = rows("own")
    assert json.loads((folder / found[0]["path"] / "process.json").read_text())["threads"] == 1


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("launcher.jobs=0", "jobs must be a whole number from 1; launcher.jobs=0; fix: launcher.jobs=1"),
        ("launcher.jobs=1,2", "a sweep has one launcher; launcher.jobs differs between jobs; fix: give it one value"),
        ("launcher.spawn=thread", "no such way to start a process; launcher.spawn=thread; fix: launcher.spawn=auto|fork|fresh"),
        ("launcher.gpus=0", "the devices must be a list; launcher.gpus=0; fix: launcher.gpus=[0,1]"),
        ("launcher.time_limit=-1", "time_limit must be a number of seconds; launcher.time_limit=-1"),
        ("+launcher.core=2", "launcher.cores"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_starts(stubbed, capsys, setting, text):
    assert sweep("seed=0,1", setting) == 2
    assert text in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_a_run_that_another_process_has_is_held_and_the_others_run(stubbed, capsys):
    assert sweep("seed=0") == 0
    (run,) = Path("outputs/default").glob("*-s0-*")
    (run / "status.json").unlink()
    with held(run / "lock"):
        assert sweep("seed=0,1", "name=default") == 4
    out, err = capsys.readouterr()
    assert "held" in out
    assert f"segexp: error[held]: process {os.getpid()} on " in err
    assert "other processes have 1 of 2 jobs" in err
    assert sweep("seed=0,1", "name=default") == 0


def test_a_sweep_that_another_process_runs_is_refused(stubbed, capsys):
    assert sweep("seed=0,1") == 0
    _, folder = rows()
    with held(folder / "lock"):
        assert sweep("seed=0,1") == 4
    assert f"segexp: error[held]: process {os.getpid()} on " in (err := capsys.readouterr().err)
    assert "has this sweep" in err


def test_what_a_job_leaves_behind_ends_with_it(stubbed):
    assert sweep("+loss.fault=orphan", "seed=0,1", "launcher.spawn=fork") == 0
    until(lambda: not alive(int(Path("orphan").read_text())))
    assert sweep("+loss.fault=orphan", "seed=2", "launcher.spawn=fresh", "name=fresh") == 0
    until(lambda: not alive(int(Path("orphan").read_text())))


@pytest.mark.parametrize(
    ("variable", "why"), [("STUB_THREAD", "2 threads are alive in the fork server"), ("STUB_CUDA", "CUDA is in use in the fork server")]
)
def test_where_forks_are_not_safe_interpreters_are_fresh(stubbed, monkeypatch, capsys, variable, why):
    monkeypatch.setenv(variable, "1")
    assert sweep("seed=0,1") == 0
    assert f"the fork server can't fork: {why}: each job starts in a fresh interpreter" in capsys.readouterr().out


def test_where_the_fork_server_does_not_even_start_interpreters_are_fresh(stubbed, monkeypatch, capsys):
    monkeypatch.setattr("segexp.sweeps.forks.SERVER", "tests.sweeps.no_such_module")
    assert sweep("seed=0,1") == 0
    out = capsys.readouterr().out
    assert out.count("the fork server has died: starting another") == 1
    assert out.count("the fork server has died: each job starts in a fresh interpreter") == 1
    assert "No module named" in (rows()[1] / "jobs" / "server.txt").read_text()


def test_one_job_alone_needs_no_fork_server(stubbed, capsys):
    assert sweep("seed=0") == 0
    assert "fork" not in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ signals


def begin(*overrides, jobs=2):
    """A driver in a process of its own, once so many of its jobs run; and their processes."""
    driver = subprocess.Popen(command("--allow=tests", "train", "-m", *SMALL, f"launcher.jobs={jobs}", *overrides, stub=True), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    names = until(lambda: len(found := list(Path("outputs/default").glob("*/process.json"))) == jobs and found)
    pids = [until(lambda run=name.parent: holder(run)) for name in names]
    return driver, pids


def holder(run):
    try:
        return json.loads((run / "lock").read_bytes())["pid"]
    except ValueError:
        return None


@pytest.mark.parametrize("spawn", ["fork", "fresh"])
def test_a_signal_lets_jobs_save_and_leaves_the_rest_pending(place, spawn):
    driver, pids = begin("+loss.fault=stop", "seed=range(0,5)", f"launcher.spawn={spawn}")
    driver.send_signal(signal.SIGINT)
    out, err = driver.communicate(timeout=30)
    assert driver.returncode == 75
    assert "SIGINT: waiting for 2 jobs to save their state (once more: at once)" in out
    assert err.splitlines()[-1].startswith("segexp: error[stopped]: stopped by SIGINT: 5 of 5 jobs are not done; ")
    found, folder = rows()
    assert [row["state"] for row in found] == ["pending"] * 5
    assert sorted(starts(folder).values()) == [1, 1]
    assert not any(map(alive, pids))
    states = [RunDirectory(folder / row["path"]).state() for row in found]
    assert sorted(states) == ["pending"] * 3 + ["preempted"] * 2
    Path("go-on").touch()
    again = command("--allow=tests", *shlex.split(err.splitlines()[-1].partition("fix: ")[2])[1:], stub=True)
    done = subprocess.run(again, check=False, timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(starts(folder).values()) == [1, 1, 1, 2, 2]


def test_again_goes_on_behind_what_was_done_again_before_a_stop(place):
    """One job after the other, of which the second waits; each of them was done before."""

    def again(*more):
        given = ["+loss.fault=fine,stop", "launcher.jobs=1", *more]
        arguments = ["--allow=tests", "train", "-m", *SMALL, *given]
        return subprocess.Popen(command(*arguments, stub=True), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stopped(*more):
        driver, logs = again(*more), Path("outputs/default/sweeps")
        until(lambda: sum(log.read_text().count("starts") for log in logs.glob("*/jobs/*.txt")) == before + 2)
        driver.send_signal(signal.SIGINT)
        assert driver.wait(timeout=30) == 75
        return [starts(rows()[1])[row["run"]] for row in rows()[0]]

    before = 0
    assert stopped() == [1, 1]
    before = 2
    assert stopped("run.again=true") == [2, 2]  # what was done without it is done again
    Path("go-on").touch()
    for wanted in ([2, 3], [3, 4]):  # the same command goes on; then nothing is left, and it starts both again
        assert again("run.again=true").wait(timeout=30) == 0
        assert [starts(rows()[1])[row["run"]] for row in rows()[0]] == wanted


def test_a_second_signal_ends_all_at_once(place):
    driver, pids = begin("+loss.fault=sleep_deaf", "seed=0,1,2", "launcher.grace=600")
    until(lambda: all(Path(f"deaf-{pid}").exists() for pid in pids))  # a job that has just begun still hears
    driver.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert all(map(alive, pids))
    driver.send_signal(signal.SIGTERM)
    _, err = driver.communicate(timeout=10)
    assert driver.returncode == 75
    assert "stopped by SIGTERM: 3 of 3 jobs are not done" in err
    assert not any(map(alive, pids))


@pytest.mark.parametrize("spawn", ["fork", "fresh"])
def test_jobs_end_with_a_driver_that_is_killed_and_save_first(place, spawn):
    driver, pids = begin("+loss.fault=stop", "seed=0,1,2", f"launcher.spawn={spawn}")
    driver.kill()
    driver.communicate(timeout=10)
    until(lambda: not any(map(alive, pids)))
    states = [RunDirectory(path.parent).state() for path in Path("outputs/default").glob("*/process.json")]
    assert states == ["preempted", "preempted"]


def test_a_job_that_somebody_stops_is_preempted_and_the_others_finish(place):
    driver, pids = begin("+loss.fault=stop", "seed=0,1,2")
    os.kill(pids[0], signal.SIGTERM)
    until(lambda: not alive(pids[0]))
    Path("go-on").touch()
    _, err = driver.communicate(timeout=30)
    assert driver.returncode == 75
    assert "1 of 3 jobs were asked to stop" in err
    assert sorted(row["state"] for row in rows()[0]) == ["done", "done", "preempted"]


def test_a_fork_server_that_dies_is_started_again_and_its_jobs_go_on(place):
    driver, pids = begin("+loss.fault=stop", "seed=0,1,2")
    server = json.loads(next(Path("outputs/default").glob("*/process.json")).read_text())["parent"]
    os.kill(server, signal.SIGKILL)
    until(lambda: not any(map(alive, pids)))
    Path("go-on").touch()
    out, err = driver.communicate(timeout=30)
    assert (driver.returncode, err) == (0, "")
    assert "the fork server has died: starting another" in out
    assert sorted(starts(rows()[1]).values()) == [1, 2, 2]
