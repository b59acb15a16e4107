"""What is asked of Slurm and understood of its answers, by commands that say what they are told to; `tests/slurm` has a real one."""

import json
import math
import os
import subprocess
import sys
import time

import pytest

from segexp.cli.main import main
from segexp.errors import ConfigError
from segexp.functional.files import write_json
from segexp.runs.directory import RunDirectory
from segexp.sweeps.slurm import client, job
from segexp.sweeps.slurm.client import Ending, ending, states
from segexp.sweeps.slurm.launcher import SlurmLauncher
from segexp.sweeps.slurm.starter import SlurmProcess, SlurmStarter
from tests.sweeps.conftest import ROOT, SMALL


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Makes commands of Slurm that say something; the only ones on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name, says="", *, error="", code=0, body=""):
        said = f"echo '{says}'\n" if says else ""
        (folder / name).write_text(f"#!/bin/sh\necho \"$@\" >> {tmp_path}/{name}.asked\n{body}\n{said}echo '{error}' >&2\nexit {code}\n")
        (folder / name).chmod(0o755)
        return tmp_path / f"{name}.asked"

    return make


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()

    def of(state):
        write_json(directory.status, directory.read_status() | {"state": state})
        return directory

    return of


def test_one_call_asks_for_all_jobs(commands):
    asked = commands("squeue", "17_0|RUNNING\n17_1|PENDING\n18|COMPLETED\n17_3|FAILED")
    assert states({"17_0", "17_1", "18", "17_9"}) == {"17_0": "RUNNING", "17_1": "PENDING", "18": "COMPLETED"}
    assert asked.read_text() == "--noheader --array --states=all --format=%i|%T --jobs=17,18\n"
    assert states([]) == {}


def test_jobs_that_slurm_has_forgotten_are_not_a_slurm_that_does_not_answer(commands):
    commands("squeue", error="slurm_load_jobs error: Invalid job id specified", code=1)
    assert states({"17"}) == {}
    commands("squeue", error="slurm_load_jobs error: Unable to contact slurm controller (connect failure)", code=1)
    assert states({"17"}) is None


def test_a_command_that_hangs_is_one_that_does_not_answer(commands, monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", 0.3)
    commands("squeue", body="exec /bin/sleep 60")
    begin = time.monotonic()
    assert states({"17"}) is None
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize(
    ("state", "code", "ended"),
    [
        ("COMPLETED", "0:0", Ending(0)),
        ("FAILED", "3:0", Ending(3)),
        ("FAILED", "137:0", Ending(-9)),
        ("FAILED", "0:11", Ending(-11)),
        ("CANCELLED", "0:15", Ending(-15, "cancelled")),
        ("TIMEOUT", "0:0", Ending(0, "time limit")),
        ("NODE_FAIL", "0:0", Ending(0, "node lost")),
        ("OUT_OF_MEMORY", "0:125", Ending(-125, "out of memory")),
    ],
)
def test_how_a_job_ended_by_the_controller(commands, run, state, code, ended):
    asked = commands("scontrol", f"JobId=19 ArrayJobId=17 JobState={state} Reason=None ExitCode={code} RunTime=0")
    assert ending("17_2", run("running")) == ended
    assert asked.read_text() == "--oneliner show job 17_2\n"


def test_the_accounting_answers_where_the_controller_has_forgotten(commands, run):
    commands("scontrol", error="slurm_load_jobs error: Invalid job id specified", code=1)
    asked = commands("sacct", "CANCELLED by 1000|0:15")
    assert ending("17_2", run("running")) == Ending(-15, "cancelled")
    assert asked.read_text() == "--noheader --parsable2 --allocations --jobs=17_2 --format=State,ExitCode\n"


@pytest.mark.parametrize(("state", "code"), [("done", 0), ("failed", 1), ("preempted", 75), ("running", -9), ("pending", 1)])
def test_the_run_answers_where_nobody_else_does(commands, run, state, code):
    commands("scontrol", error="slurm_load_jobs error: Invalid job id specified", code=1)
    assert ending("17", run(state)) == Ending(code)  # no sacct at all
    commands("sacct", error="Slurm accounting storage is disabled", code=1)
    assert ending("17", run(state)) == Ending(code)


@pytest.mark.parametrize(("state", "code"), [("preempted", 75), ("running", -9)])
def test_a_job_that_was_preempted_for_good(commands, run, state, code):
    commands("scontrol", "JobState=PREEMPTED ExitCode=0:15")
    assert ending("17", run(state)) == Ending(code)


# ------------------------------------------------------------------------------------------------ queued again


@pytest.fixture
def inside(monkeypatch):
    """The environment of a job; only what is given."""
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    return lambda **given: [monkeypatch.setenv(f"SLURM_{name}", value) for name, value in given.items()]


def test_of_an_array_only_the_element_is_queued_again(commands, inside, capsys):
    asked = commands("scontrol")
    inside(JOB_ID="17", ARRAY_JOB_ID="17", ARRAY_TASK_ID="3")
    job.queue_again(2)
    assert asked.read_text() == "requeue 17_3\n"
    assert capsys.readouterr().out == "Slurm job 17_3 is to be queued again (1 of 2)\n"


def test_a_job_is_queued_again_only_so_often(commands, inside, capsys):
    asked = commands("scontrol")
    inside(JOB_ID="17", RESTART_COUNT="2")
    job.queue_again(2)
    assert not asked.exists()
    assert capsys.readouterr().out == "Slurm job 17 has been queued again 2 times, that is enough (launcher.requeues=2)\n"


def test_a_slurm_that_refuses_to_queue_again_is_told(commands, inside, capsys):
    commands("scontrol", error="Requested operation is presently disabled", code=1)
    inside(JOB_ID="17")
    job.queue_again(2)
    said = "warning: it isn't: Requested operation is presently disabled; the sweep's command starts it again"
    assert capsys.readouterr().out.splitlines()[-1] == said


RANK = """
import sys
from segexp.sweeps.slurm import job
job.run_document = lambda document: print("ends", flush=True) or 3
job.run({"path": sys.path, "output": "none", "requeues": 1})
"""


def test_a_rank_that_waits_for_the_first_leaves_with_its_own_code_when_srun_ends_it():
    """Else srun kills it, and 137, the greatest code of all ranks, is the job's: its row would say SIGKILL of any error."""
    process = subprocess.Popen([sys.executable, "-c", RANK], env=os.environ | {"SLURM_PROCID": "1"}, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout.readline() == b"ends\n"
    time.sleep(0.3)
    process.terminate()
    assert process.wait(20) == 3


def test_nothing_to_look_at_is_nothing_to_wake_up_for(tmp_path):
    """A search may wait for a run that another process has, with no job of its own."""
    starter = SlurmStarter(SlurmLauncher(poll=0.1), tmp_path, print)
    assert starter.pause == math.inf
    starter.processes.append(SlurmProcess(None, "17"))
    assert starter.pause == 0
    starter.processes[0].code = 0
    assert starter.pause == math.inf


# ------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("settings", "what", "where"),
    [
        ({"jobs": 0}, "jobs must be a whole number from 1", "launcher.jobs=0"),
        ({"cpus_per_task": "4"}, "cpus_per_task must be a whole number from 1", "launcher.cpus_per_task=4"),
        ({"minutes": 0.5}, "minutes must be a whole number from 1", "launcher.minutes=0.5"),
        ({"mem_gb": 0}, "mem_gb must be a number of GB", "launcher.mem_gb=0"),
        ({"requeues": -1}, "requeues must be a whole number from 0", "launcher.requeues=-1"),
        (
            {"minutes": 1, "signal_seconds": 60},
            "a job would be asked to stop before it begins",
            "launcher.signal_seconds=60, launcher.minutes=1",
        ),
        ({"extra": {"nodes": 2}}, "nodes is this launcher's affair", "launcher.extra.nodes"),
        ({"extra": {"ntasks_per_node": 2}}, "ntasks-per-node is this launcher's affair", "launcher.extra.ntasks-per-node"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, what, where):
    with pytest.raises(ConfigError) as caught:
        SlurmLauncher(**settings)
    assert (caught.value.what, caught.value.where) == (what, where)


def test_where_there_is_no_slurm_that_is_said_before_anything_is_written_of_a_run(place, commands, capsys):
    commands("sbatch")
    assert main(["train", "-m", *SMALL, "launcher=slurm"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    what = "there is no Slurm here: squeue, srun, scontrol, scancel not found; launcher=slurm"
    assert last == f"segexp: error[config]: {what}; fix: type it on a login node of the cluster, or launcher=process"


def test_a_cluster_is_for_the_jobs_of_a_sweep(place, capsys):
    assert main(["train", *SMALL, "launcher=slurm"]) == 2
    said = "this would be one run here, and a cluster is for the jobs of a sweep; launcher=slurm; fix: add -m"
    assert capsys.readouterr().err.splitlines()[-1] == f"segexp: error[config]: {said}"


def test_a_slurm_that_does_not_answer_is_not_given_jobs_twice(place, commands, capsys):
    """The queue can't be looked at, and there may be jobs in it."""
    commands("squeue")
    for name in ("sbatch", "srun", "scontrol", "scancel"):
        commands(name)
    assert main(["train", "-m", *SMALL, "launcher=slurm", "launcher.partition=x"]) == 1  # sbatch says nothing of a number
    (folder,) = (place / "outputs/default/sweeps").iterdir()
    (folder / "slurm.json").write_text(json.dumps({"any": "17"}))
    asked = commands("squeue", error="Unable to contact slurm controller", code=1)
    before = (place / "sbatch.asked").read_text()
    capsys.readouterr()
    assert main(["train", "-m", *SMALL, "launcher=slurm", "launcher.partition=x"]) == 1
    assert (
        capsys.readouterr().err.splitlines()[-1]
        == "segexp: error[failed]: Slurm doesn't answer; squeue; fix: the same command, once it does"
    )
    assert asked.exists()
    assert (place / "sbatch.asked").read_text() == before
