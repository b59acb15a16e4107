"""How ranks leave: what the first one waits for, what it writes down, and what others do on their own."""

import subprocess
import sys
import threading
import time

import pytest

from segexp.config import compose
from segexp.errors import ConfigError, DataError, RankError, StoppedError
from segexp.ranks.company import Company, together
from segexp.ranks.follow import followed
from segexp.ranks.layout import MINE, Layout
from segexp.ranks.roster import Member, Roster, Trouble
from segexp.runs import execute
from segexp.runs.directory import RunDirectory
from segexp.runs.identity import identity
from segexp.runs.start import Start


def test_one_that_writes_down_how_it_ended_is_not_stuck():
    stuck = []
    trouble = Trouble(stuck.append, grace=0.2)
    with pytest.raises(StoppedError), together(trouble):
        trouble.tell(StoppedError("stopped, all at the same boundary"))
        raise StoppedError("stopped")
    time.sleep(0.5)  # a report, trackers
    assert stuck == []


def test_one_that_waits_on_is():
    stuck = []
    trouble = Trouble(stuck.append, grace=0.2)
    with together(trouble):
        trouble.tell(DataError("broken"))
        time.sleep(0.5)
    assert [error.what for error in stuck] == ["broken"]


def test_a_stop_counts_more_than_the_rank_that_it_has_ended():
    def stop():
        raise StoppedError("stopped by SIGINT")

    with pytest.raises(StoppedError, match="stopped by SIGINT"), Company(Layout(2, 2), "run") as company:
        company.children[1] = subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
        company.children[1].wait()
        company.gather(stop)


@pytest.mark.parametrize(
    ("error", "state", "failures"), [(StoppedError("stopped by SIGUSR1"), "preempted", 0), (DataError("broken"), "failed", 1)]
)
def test_how_a_run_ended_whose_first_rank_is_stuck(tmp_path, error, state, failures):
    directory = RunDirectory(tmp_path)
    directory.update(state="running")
    execute._lost(directory, error)
    status = directory.read_status()
    assert (status["state"], status["failures"], status["error"]["what"]) == (state, failures, error.what)


def test_another_rank_refuses_what_the_first_refuses_before_it_looks_for_it(monkeypatch):
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_STEP_NODELIST": "nowhere", "SLURM_JOB_ID": "1"}
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"optimizer\.lr"):
        followed(compose("train", ["trainer=ddp", "optimizer.lr=fast"]))


@pytest.mark.parametrize("error", [None, DataError("broken", where="a.png")])
def test_another_rank_fails_with_the_first_that_fails_before_there_is_a_run(monkeypatch, error):
    config = compose("train", ["trainer=ddp", "trainer.accelerator=cpu"])
    first = Roster(("127.0.0.1", 0), 2, identity(config), Trouble(lambda error: None))
    monkeypatch.setenv(MINE, f"1 127.0.0.1:{first.port}")
    if error:
        first.end(error)
    else:
        threading.Thread(target=die, args=(first,)).start()
    with pytest.raises(type(error) if error else RankError, match="broken" if error else "rank 0 has died"):
        followed(config)


def die(roster):
    while not roster.lines:
        time.sleep(0.05)
    roster.socket.close()
    for line in roster.lines.values():
        line.close()


def test_the_others_hear_how_it_ends_before_reports_and_trackers(tmp_path, monkeypatch):
    def fit(*given):
        raise DataError("broken")

    known = []
    monkeypatch.setattr(execute, "fit", fit)
    monkeypatch.setattr(execute, "_report", lambda directory: known.append(other.trouble.within(5)))
    directory = RunDirectory(tmp_path)
    directory.update(state="running")
    config = compose("train", ["trainer=ddp", "trainer.accelerator=cpu"])
    with pytest.raises(DataError), Company(Layout(2, 2, started="srun", address=("127.0.0.1", 0)), "run") as company:
        other = Member(("127.0.0.1", company.roster.port), 1, "run", Trouble(lambda error: None))
        execute._attempt(config, directory, Start(1, None), None, company)
    assert [error.what for error in known] == ["broken"]
