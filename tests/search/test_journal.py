"""The journal of a study outlives kills: no lock stays, and half a line is cut off."""

import os
import signal
import subprocess
import sys
import threading
import time

import optuna
import pytest

from segexp.errors import ConfigError
from segexp.search.journal import journal
from segexp.search.settings import settings
from segexp.search.study import JOURNAL, mend, open_study, reporter

HOLD = """
import sys, time
from segexp.search.journal import SystemLock
SystemLock(sys.argv[1] + ".lock").acquire()
print("held", flush=True)
time.sleep(600)
"""


def test_a_lock_goes_with_its_holder(tmp_path):
    path = str(tmp_path / "study.journal")
    study = optuna.create_study(storage=journal(path))
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        os.kill(holder.pid, signal.SIGKILL)
    began = time.monotonic()
    study.ask()
    assert time.monotonic() - began < 10
    assert len(optuna.load_study(study_name=study.study_name, storage=journal(path)).trials) == 1


def test_half_a_line_at_the_end_is_cut_off(tmp_path):
    path = tmp_path / "study.journal"
    study = optuna.create_study(storage=journal(str(path)))
    study.ask()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "wor')
    mend(path)
    assert path.read_bytes() == whole
    study = optuna.load_study(study_name=study.study_name, storage=journal(str(path)))
    study.ask()
    assert len(study.trials) == 2


def test_a_journal_that_is_not_there_needs_no_mending(tmp_path):
    mend(tmp_path / "study.journal")
    assert not (tmp_path / "study.journal").exists()


def test_half_a_line_is_left_while_another_process_writes(tmp_path):
    path = tmp_path / "study.journal"
    path.write_bytes(b'{"op_code": 4, "wor')
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"held\n"
        mending = threading.Thread(target=mend, args=(path,))
        mending.start()
        mending.join(0.3)
        assert mending.is_alive() and path.stat().st_size
        os.kill(writer.pid, signal.SIGKILL)
    mending.join(20)
    assert path.read_bytes() == b""


def test_the_password_of_a_storage_is_not_said(monkeypatch):
    def refuse(storage):
        raise ValueError(f"no driver for {storage}")

    monkeypatch.setattr("segexp.search.study.opened", refuse)
    section = dict.fromkeys(("metric", "direction", "storage", "warm")) | {"sampler": "random", "trials": 9, "startup": 2, "seed": 0}
    wanted = settings(section | {"pruner": "none", "rung": 2, "factor": 2}, "val/miou")
    with pytest.raises(ConfigError) as caught:
        open_study("s", wanted, "postgresql://me:secret@host:5432/studies", several=False)
    assert "secret" not in caught.value.line()
    assert caught.value.where == "sweep.storage=postgresql://me:***@host:5432/studies"


def test_a_run_that_goes_on_from_an_earlier_step_is_asked_first_where_it_was_killed(tmp_path):
    section = dict.fromkeys(("metric", "direction", "storage", "warm")) | {"sampler": "random", "trials": 9, "startup": 2, "seed": 0}
    wanted = settings(section | {"pruner": "asha", "rung": 2, "factor": 2}, "val/miou")
    study = open_study("s", wanted, str(tmp_path / JOURNAL), several=False)
    told = {"study": "s", "storage": str(tmp_path / JOURNAL), "pruning": wanted.pruning}
    study.ask().report(0.9, 2)
    study.ask()
    before = reporter(told | {"trial": 1})
    assert (before(1, 0.1), before(2, 0.1)) == (False, True)  # and killed before it could end
    again = reporter(told | {"trial": 1})
    assert (again(1, 0.1), again(2, 0.1)) == (False, True)
