"""Sweeps on a real Slurm: the driver, submitit, Slurm and signals are real, the runs take no time."""

import json
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from segexp.runs.directory import RunDirectory
from tests.slurm.conftest import until


def sweep():
    """The rows of the one sweep there is by its fault, and the sweep's folder."""
    (folder,) = Path("outputs", "default", "sweeps").iterdir()
    rows = json.loads((folder / "sweep.json").read_text())["jobs"]
    return {next((text.partition("fault=")[2] for text in row["overrides"] if "fault=" in text), ""): row for row in rows}, folder


def numbers():
    """The number in Slurm by run; empty before anything was submitted."""
    found = list(Path().glob("outputs/default/sweeps/*/slurm.json"))
    return json.loads(found[0].read_text()) if found else {}


def runs_of(folder, row):
    return (folder / row["log"]).read_text().count(" starts")


def state(folder, row):
    return RunDirectory(folder / row["path"]).state()


def started(fault):
    """The number of a job whose run has begun, once it has."""

    def look():
        if not numbers():
            return None
        rows, folder = sweep()
        row = rows[fault]
        log = folder / row["log"]
        return numbers()[row["run"]] if log.exists() and " starts" in log.read_text() else None

    return until(look)


def test_an_array_of_six_has_six_right_rows(cluster, driver):
    made = driver("+loss.fault=fine,error,kill,stop,exit_0,leave_5", "launcher.jobs=6")
    cluster.run("scancel", started("stop"))
    code, said = made.end()
    rows, folder = sweep()
    assert code == 1
    assert {fault: (row["state"], row["cause"]) for fault, row in rows.items()} == {
        "fine": ("done", None),
        "error": ("failed", "exit 1"),
        "kill": ("failed", "SIGKILL"),
        "stop": ("failed", "cancelled"),
        "exit_0": ("failed", "exit 0 without a result"),
        "leave_5": ("failed", "exit 5"),
    }
    assert len({number.partition("_")[0] for number in numbers().values()}) == 1  # one array
    assert "6 jobs submitted: squeue -j " in said
    assert "error[unexpected]: RuntimeError: a bug" in said
    assert "error[killed]: the process ended by SIGKILL" in said
    assert state(folder, rows["stop"]) == "preempted"  # it had time to save
    last = said.splitlines()[-1]
    assert last.startswith(f"segexp: error[failed]: 5 of 6 jobs failed; {folder}; fix: segexp train -m ")
    again = shlex.split(last.partition("fix: ")[2])
    assert "launcher=slurm" in again and "+loss.fault=fine,error,kill,stop,exit_0,leave_5" in again


def test_a_warned_job_is_queued_again_and_goes_on_in_its_directory(cluster, driver):
    made = driver("+loss.fault=stop")
    number = started("stop")
    cluster.run("scancel", "--signal=USR2", number)
    until(lambda: "is queued again" in made.said())
    rows, folder = sweep()
    assert state(folder, rows["stop"]) == "preempted"
    Path("go-on").touch()
    code, said = made.end()
    rows, _ = sweep()
    assert (code, rows["stop"]["state"], numbers()[rows["stop"]["run"]]) == (0, "done", number)
    log = (folder / rows["stop"]["log"]).read_text()
    assert f"Slurm job {number} is to be queued again (1 of 20)" in log
    assert ", queued again 1 times" in log
    assert said.count(" submitted: ") == 1


def test_a_job_that_was_queued_again_often_enough_is_preempted_and_the_same_command_goes_on(cluster, driver):
    made = driver("+loss.fault=stop", "launcher.requeues=0")
    cluster.run("scancel", "--signal=USR1", started("stop"))
    code, said = made.end()
    rows, folder = sweep()
    assert (code, rows["stop"]["state"]) == (75, "preempted")
    assert "segexp: error[stopped]: stopped by SIGUSR1" in said
    assert "has been queued again 0 times, that is enough (launcher.requeues=0)" in (folder / rows["stop"]["log"]).read_text()
    Path("go-on").touch()
    assert driver("+loss.fault=stop", "launcher.requeues=0").end()[0] == 0
    assert sweep()[0]["stop"]["state"] == "done"


def test_a_driver_that_is_stopped_leaves_its_jobs_and_the_next_one_finds_them(cluster, driver):
    made = driver("+loss.fault=stop,fine", "launcher.jobs=1")
    number = started("stop")
    made.process.send_signal(signal.SIGINT)
    code, said = made.end()
    array = number.partition("_")[0]
    assert code == 75
    assert f"2 jobs go on in Slurm: squeue -j {array} shows them, scancel {array}_0 {array}_1 ends them" in said
    assert "segexp: error[stopped]: stopped by SIGINT: 2 of 2 jobs are not done" in said
    assert sweep()[0]["stop"]["state"] == "running"
    before = numbers()
    after = driver("+loss.fault=stop,fine", "launcher.jobs=1")
    until(lambda: f"job 1 is {number} of Slurm already: RUNNING" in after.said())
    assert f"job 2 is {array}_1 of Slurm already: PENDING" in after.said()
    Path("go-on").touch()
    code, said = after.end()
    rows, folder = sweep()
    assert (code, {row["state"] for row in rows.values()}) == (0, {"done"})
    assert (numbers(), " submitted: " in said) == (before, False)
    assert [runs_of(folder, row) for row in rows.values()] == [1, 1]


def test_a_driver_that_is_killed_loses_nothing(cluster, driver):
    made = driver("+loss.fault=stop")
    number = started("stop")
    made.process.kill()
    made.process.wait()
    Path("go-on").touch()
    rows, folder = sweep()
    until(lambda: state(folder, rows["stop"]) == "done")
    code, said = driver("+loss.fault=stop").end()
    assert (code, sweep()[0]["stop"]["state"], "1 done, 0 failed, 0 to run" in said) == (0, "done", True)
    assert list(numbers().values()) == [number]


def test_a_job_that_another_one_displaces_saves_is_queued_again_by_slurm_and_goes_on(cluster, driver):
    made = driver("+loss.fault=stop", "launcher.partition=low")
    number = started("stop")
    cluster.run("sbatch", "--partition=high", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    until(lambda: "is queued again" in made.said())
    Path("go-on").touch()
    code, _ = made.end()
    rows, folder = sweep()
    log = (folder / rows["stop"]["log"]).read_text()
    assert (code, rows["stop"]["state"], numbers()[rows["stop"]["run"]]) == (0, "done", number)
    assert "SIGTERM: stopping after this step" in log
    assert ", queued again 1 times" in log
    assert "is to be queued again" not in log  # Slurm does that by itself


@pytest.mark.long
def test_a_time_limit_is_real_and_the_run_outlives_it(cluster, driver):
    """Slurm's least limit is a minute, and it warns up to half a minute early."""
    made = driver("+loss.fault=stop", "launcher.minutes=1", "launcher.signal_seconds=30")
    number = started("stop")
    until(lambda: "is queued again" in made.said(), 90)
    Path("go-on").touch()
    code, _ = made.end()
    rows, folder = sweep()
    log = (folder / rows["stop"]["log"]).read_text()
    assert (code, rows["stop"]["state"], numbers()[rows["stop"]["run"]]) == (0, "done", number)
    assert "SIGUSR2: stopping after this step" in log
    assert f"Slurm job {number} is to be queued again (1 of 20)" in log


def test_a_job_that_is_cancelled_while_it_waits_never_begins(cluster, driver):
    made = driver("+loss.fault=stop,fine", "launcher.jobs=1")
    array = started("stop").partition("_")[0]
    cluster.run("scancel", f"{array}_1")
    Path("go-on").touch()
    code, said = made.end()
    rows, folder = sweep()
    assert (code, rows["stop"]["state"]) == (1, "done")
    assert (rows["fine"]["state"], rows["fine"]["cause"]) == ("failed", "cancelled")
    assert "the job was cancelled" in said
    assert not (folder / rows["fine"]["log"]).exists()


def test_what_sbatch_refuses_is_told_with_its_reason(cluster, driver):
    code, said = driver("launcher.partition=nope").end()
    assert code == 1
    assert "segexp: error[failed]: sbatch refuses the jobs: " in said
    assert "invalid partition" in said.splitlines()[-1].lower()
    assert numbers() == {}


def test_what_a_job_asks_for_follows_from_its_config(cluster, driver):
    extra = "launcher.extra={comment:hello,begin:now+1hour}"
    made = driver("trainer.devices=2", "launcher.mem_gb=1", "launcher.minutes=7", "launcher.cpus_per_task=3", "seed=0,1", extra)
    until(lambda: numbers() or made.process.poll() is not None)
    assert numbers(), made.said()
    array = next(iter(numbers().values())).partition("_")[0]
    told = cluster.run("scontrol", "show", "job", array).stdout
    made.process.kill()
    made.process.wait()
    wanted = ("NumNodes=1", "NumTasks=2", "CPUs/Task=3", "NtasksPerN:B:S:C=2:", "MinMemoryNode=1G", "TimeLimit=00:07:00", "Comment=hello")
    assert [text for text in wanted if text not in told] == []
    assert "Requeue=1" in told
    (script,) = Path().glob("outputs/default/sweeps/*/slurm/*_submission.sh")
    text = script.read_text()
    assert ("#SBATCH --signal=USR2@120" in text, "wckey" in text, "--array=0-1%2" in text) == (True, False, True)
    subprocess.run(["scancel", array], check=True)
