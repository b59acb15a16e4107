import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from segexp.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
LR = "optimizer.lr=tag(log,interval(1e-4,1e-1))"
DRIVE = """
import os, signal, sys
from pathlib import Path
from segexp.cli.main import main
from segexp.sweeps import forks, processes

forks.SERVER = processes.CHILD = "tests.search.stub"

def kill_at(place, number):
    if os.environ.get("KILL") == f"{place}:{number}" and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)

def counted(place, owner, name, after=False):
    plain, seen = getattr(owner, name), []
    def call(*args, **kwargs):
        seen.append(1)
        if not after:
            kill_at(place, len(seen))
        found = plain(*args, **kwargs)
        if after:
            kill_at(place, len(seen))
        return found
    setattr(owner, name, call)

if "KILL" in os.environ:
    import optuna
    counted("suggested", optuna.Trial, "_suggest", after=True)
    counted("asked", optuna.Study, "ask", after=True)
    counted("telling", optuna.Study, "tell")
    counted("told", optuna.Study, "tell", after=True)
    counted("drawn", optuna.Trial, "set_user_attr")
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory in which processes of jobs are those of `tests.search.stub`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("segexp.sweeps.forks.SERVER", "tests.search.stub")
    monkeypatch.setattr("segexp.sweeps.processes.CHILD", "tests.search.stub")
    return tmp_path


def search(*overrides):
    return main(["train", "-m", *overrides])


def driven(*overrides, **environment):
    """A search in a process of its own, which may be killed; its exit code."""
    command = [sys.executable, "-c", DRIVE, "train", "-m", *overrides]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)


def record(name="default"):
    """What the one search's sweep.json says, and its folder."""
    (folder,) = Path("outputs", name, "sweeps").iterdir()
    return json.loads((folder / "sweep.json").read_text()), folder


def trials(name="default"):
    """The study's trials as plain values."""
    import optuna

    from segexp.search.study import opened

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _, folder = record(name)
    study = optuna.load_study(study_name=folder.name, storage=opened(str(folder / "study.journal")))
    return [(t.number, t.state.name, t.params, t.values, t.intermediate_values, t.user_attrs["overrides"]) for t in study.get_trials()]


def starts():
    """How often each run was started."""
    lines = Path("started.txt").read_text().splitlines() if Path("started.txt").exists() else []
    ids = [line.split()[0] for line in lines]
    return {run: ids.count(run) for run in ids}
