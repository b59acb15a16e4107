"""What the state of a run and the end of its process make of a job."""

import json
import subprocess
import sys

import pytest

from segexp.errors import StoppedError, failed, known
from segexp.runs.directory import RunDirectory
from segexp.runs.lock import held
from segexp.sweeps.jobs import STOP, TIME_LIMIT, Job, composed, document, ending, judge, settle
from segexp.sweeps.process import ProcessLauncher
from tests.sweeps.conftest import SMALL

STATUS = {"state": "pending", "attempt": 1, "step": 0, "error": None, "failures": 0}


@pytest.fixture
def job(tmp_path):
    settings = {"run": {"max_attempts": 2, "again": False, "threads": None}, "launcher": {"time_limit": 9}}
    made = Job(1, ["seed=0"], RunDirectory(tmp_path / "run-abcdefabcdef"), settings=settings, log=tmp_path / "log.txt")
    made.run.path.mkdir()
    return made


def write(job, **status):
    job.run.status.write_text(json.dumps(STATUS | status))


@pytest.mark.parametrize(
    ("status", "result", "state", "cause"),
    [
        ({"state": "done"}, True, "done", ""),
        ({"state": "done"}, False, "pending", ""),  # the process will see to it
        ({"state": "failed", "failures": 1}, False, "pending", ""),
        ({"state": "failed", "failures": 2}, False, "failed", "2 times"),
        ({"state": "killed", "failures": 3}, False, "failed", "3 times"),
        ({"state": "preempted", "failures": 2}, False, "pending", ""),
        ({"state": "running", "failures": 2}, False, "pending", ""),
    ],
)
def test_what_needs_no_process(job, status, result, state, cause):
    write(job, **status)
    if result:
        job.run.result_file.write_text("{}")
    settle(job, again=False)
    assert (job.state, job.cause) == (state, cause)
    job.state, job.cause = "pending", ""
    settle(job, again=True)
    assert job.state == "pending"


def test_a_job_is_started_again_where_its_config_says_so_and_there_is_one(job):
    assert not job.again
    job.settings["run"]["again"] = True
    assert job.again
    slip = composed(2, [*SMALL, "run.again=true", "run.max_attempts=0"])
    assert (slip.state, slip.cause, slip.again) == ("failed", "config", False)
    settle(slip, again=slip.again)
    assert "run.max_attempts must be a whole number from 1; run.max_attempts=0; fix: run.max_attempts=2" in slip.error


def test_a_status_that_cannot_be_read_is_a_failure_of_the_job_alone(job):
    job.run.status.write_text("{")
    settle(job, again=False)
    assert (job.state, job.cause) == ("failed", "failed")
    assert f"not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1); {job.run.status}" in job.error
    judge(job, 1, STATUS)
    assert (job.state, job.cause) == ("failed", "exit 1")


@pytest.mark.parametrize(
    ("code", "asked", "state", "cause"),
    [
        (0, None, "failed", "exit 0 without a result"),
        (3, None, "failed", "exit 3"),
        (75, None, "preempted", ""),
        (75, STOP, "pending", ""),
        (-9, STOP, "pending", ""),
        (75, TIME_LIMIT, "failed", TIME_LIMIT),
        (4, None, "held", ""),
        (-6, None, "failed", "SIGABRT"),
        (-40, None, "failed", "signal 40"),
    ],
)
def test_ends_of_a_process_that_never_began_its_run(job, code, asked, state, cause):
    judge(job, code, STATUS, asked)
    assert (job.state, job.cause) == (state, cause)
    assert not job.run.status.exists()  # nothing to record: nothing has begun


def test_a_run_that_is_done_is_done_however_its_process_ended(job):
    write(job, state="done")
    job.run.result_file.write_text("{}")
    judge(job, -11, STATUS)
    assert job.state == "done"


def test_a_result_of_an_earlier_attempt_does_not_count(job):
    write(job, state="done")
    job.run.result_file.write_text("{}")
    judge(job, 1, job.run.read_status())
    assert (job.state, job.cause) == ("failed", "exit 1")


def test_a_process_that_died_without_a_word_is_written_down_once(job):
    write(job, state="running")
    judge(job, -9, STATUS)
    status = job.run.read_status()
    assert (status["state"], status["failures"], status["error"]["what"]) == ("killed", 1, "the process ended by SIGKILL")
    assert job.error.startswith("segexp: error[killed]: the process ended by SIGKILL; ")
    write(job, state="running")
    with held(job.run.lock):  # somebody else goes on with it already
        judge(job, -9, STATUS)
    assert job.run.read_status()["failures"] == 0
    assert job.error == "the process ended by SIGKILL"


def test_a_failure_that_was_written_down_is_told_with_its_kind(job):
    write(job, state="failed", failures=1, error={"code": "nonfinite", "what": "the loss is nan", "where": "step 3", "fix": "less"})
    judge(job, 3, STATUS)
    assert (job.cause, job.error) == ("nonfinite", "segexp: error[nonfinite]: the loss is nan; step 3; fix: less")
    judge(job, 1, job.run.read_status())  # the same record: of an earlier attempt
    assert (job.cause, job.error) == ("exit 1", "the process ended with exit 1")
    job.log.write_text("old\nsegexp: error[old]: old\n")
    job.log_start = job.log.stat().st_size
    job.log.write_text(job.log.read_text() + "segexp: error[data]: no disk\nbye\n")
    judge(job, 1, job.run.read_status())
    assert job.error == "segexp: error[data]: no disk"


def test_what_failed_by_itself_at_its_time_limit_keeps_its_own_error(job):
    write(job, state="failed", failures=1, error={"code": "data", "what": "no disk", "where": "", "fix": ""})
    judge(job, 1, STATUS, TIME_LIMIT)
    assert job.cause == "data"
    write(job, state="preempted", error={"code": "stopped", "what": "stopped by SIGTERM", "where": "step 3", "fix": "go on"})
    judge(job, 75, STATUS, TIME_LIMIT)
    assert (job.cause, job.error) == (TIME_LIMIT, "segexp: error[stopped]: stopped by SIGTERM; step 3; fix: go on")


def test_codes_in_words():
    assert [ending(code) for code in (0, 1, -11, -15)] == ["exit 0 without a result", "exit 1", "SIGSEGV", "SIGTERM"]


def test_threads_of_the_config_go_before_those_of_the_launcher():
    told = document(composed(1, SMALL), 3, {"CUDA_VISIBLE_DEVICES": "1"})
    assert (told["threads"], told["env"]) == (3, {"CUDA_VISIBLE_DEVICES": "1", "OMP_NUM_THREADS": "3"})
    assert "outputs: ${oc.env:SEGEXP_OUTPUTS,outputs}" in told["config"]  # interpolations are kept
    assert document(composed(1, [*SMALL, "run.threads=2"]), 3, {})["env"] == {"OMP_NUM_THREADS": "2"}


def test_the_ranks_of_a_job_share_its_cores():
    launcher = ProcessLauncher(jobs=2, cores=8)
    assert [
        launcher.threads_of(composed(1, [*SMALL, *given])) for given in ([], ["trainer=ddp"], ["trainer=ddp", "trainer.devices=9"])
    ] == [4, 2, 1]


# ------------------------------------------------------------------------------------------------ the child


def test_a_child_whose_parent_has_gone_already_leaves():
    code = "from segexp.sweeps.child import follow; follow(1)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == StoppedError.exit_code


def test_whatever_is_raised_ends_in_one_line_and_a_code(capsys):
    assert failed(StoppedError("stopped", where="here")) == 75
    assert failed(KeyboardInterrupt()) == 75
    assert failed(RuntimeError("a bug"), show_traceback=True) == 1
    err = capsys.readouterr().err.splitlines()
    assert err == [
        "segexp: error[stopped]: stopped; here",
        "segexp: error[stopped]: stopped by the keyboard; fix: the same command goes on from here",
        "RuntimeError: a bug",
        "segexp: error[failed]: RuntimeError: a bug; fix: errors.traceback=true shows where it comes from",
    ]
    assert known(MemoryError()).what == "MemoryError"
