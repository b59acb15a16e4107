"""The fork server with real runs: the same weights as a fresh interpreter, and nothing that a job does reaches another."""

import hashlib
import signal
import subprocess

import pytest
import torch

from segexp.allow import allowed
from segexp.runs.directory import RunDirectory
from segexp.sweeps.forks import ForkError, ForkServer, ServerGoneError
from segexp.sweeps.jobs import composed, document
from segexp.sweeps.processes import FreshProcess
from segexp.weights.checkpoints import pointed
from tests.sweeps.conftest import SMALL, alive


def job(folder, *overrides):
    """A job with its runs below a folder, and what its process is told; two threads."""
    made = composed(1, [*SMALL, f"paths.outputs={folder}", *overrides])
    assert made.error == ""
    return made, {**document(made, 2, {}), "allow": allowed()}


def weights(run):
    """A hash of the weights that a run has ended with."""
    state = torch.load(pointed(run.checkpoints, "last"), weights_only=True)["state_dict"]
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in state.values())).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ForkServer(grace=5) as server:
        yield server


@pytest.fixture
def run(server, tmp_path):
    """Fork a job and wait for its end: its exit code, its run, what it said."""

    def run(*overrides):
        made, told = job(tmp_path, *overrides)
        code = server.start(told, tmp_path / "log.txt").wait(60)
        return code, made.run, (tmp_path / "log.txt").read_text()

    return run


@pytest.mark.slow
def test_a_fork_gives_the_weights_of_a_fresh_interpreter_whatever_ran_before(run, tmp_path):
    made, told = job(tmp_path / "fresh")
    (tmp_path / "fresh").mkdir()
    fresh = FreshProcess(told, tmp_path / "fresh.txt")  # works while the others do
    assert run("+loss.fault=process_state")[0] == 2
    code, forked, log = run()
    assert (code, forked.state()) == (0, "done")
    assert "attempt 1" in log
    assert fresh.wait(60) == 0
    assert weights(made.run) == weights(forked)
    assert weights(run("seed=1")[1]) != weights(forked)
    assert made.run.result()["val"] == forked.result()["val"]


@pytest.mark.parametrize(
    ("fault", "code", "state"),
    [("error", 2, "failed"), ("exit_0", 1, "failed"), ("leave", 0, "running"), ("segfault", -11, "running"), ("kill", -9, "running")],
)
def test_however_a_job_ends_the_server_says_so_and_lives_on(run, server, fault, code, state):
    ended, directory, _ = run(f"+loss.fault={fault}")
    assert (ended, directory.state()) == (code, state)
    assert alive(server.pid)


def test_what_fails_says_so_in_the_log_in_one_line(run):
    assert run("+loss.fault=error")[2].splitlines()[-1].startswith("segexp: error[config]: tests.sweeps.losses.Faulty can't be made")
    log = run("+loss.fault=error", "errors.traceback=true")[2]
    assert "Traceback" in log


def test_a_child_can_be_waited_for_and_ended(server, tmp_path):
    child = server.start(job(tmp_path, "+loss.fault=sleep")[1], tmp_path / "log.txt")
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.05)
    assert child.poll() is None
    child.kill(signal.SIGKILL)
    assert child.wait(10) == child.poll() == -9
    child.kill(signal.SIGKILL)  # without effect


def test_a_server_that_is_gone_says_so_and_its_children_end(tmp_path):
    import segexp.sweeps.forks as forks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forks, "SERVER", "tests.sweeps.stub")
        with ForkServer() as server:
            child = server.start(job(tmp_path, "+loss.fault=stop")[1], tmp_path / "log.txt")
            server._popen.kill()
            assert child.wait(10) == forks.UNKNOWN
            with pytest.raises(ServerGoneError, match="the fork server"):
                server.start(job(tmp_path)[1], tmp_path / "log.txt")


def test_an_end_that_is_read_while_another_job_starts_is_news(tmp_path, monkeypatch):
    monkeypatch.setattr("segexp.sweeps.forks.SERVER", "tests.sweeps.stub")
    with ForkServer() as server:
        first = server.start(job(tmp_path, "+loss.fault=leave")[1], tmp_path / "log.txt")
        while alive(first.pid):
            pass
        assert (server.news, first.code) == (False, None)
        server.start(job(tmp_path, "seed=1")[1], tmp_path / "log.txt").wait(20)
        assert (server.news, first.code) == (True, 0)


def test_a_driver_that_leaves_ends_the_children(tmp_path, monkeypatch):
    monkeypatch.setattr("segexp.sweeps.forks.SERVER", "tests.sweeps.stub")
    made, told = job(tmp_path, "+loss.fault=stop")
    with ForkServer(grace=5) as server:
        child = server.start(told, tmp_path / "log.txt")
        while RunDirectory(made.run.path).state() != "running":
            child.poll()
    assert not alive(child.pid)
    assert made.run.state() == "preempted"


def test_a_server_that_may_not_fork_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("STUB_THREAD", "1")
    monkeypatch.setattr("segexp.sweeps.forks.SERVER", "tests.sweeps.stub")
    with ForkServer() as server, pytest.raises(ForkError, match="2 threads are alive in the fork server"):
        server.start(job(tmp_path)[1], tmp_path / "log.txt")
