import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "0")  # a thread that waits spins, and two processes on two cores wait for each other

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    *("data.height=32", "data.width=48", "data.train=8", "data.val=3", "data.test=2", "data.loader.batch_size=2"),
    *("backbone=timm", "backbone.name=test_resnet", "decoder.width=16", "callbacks.panels.count=1"),
    *("trainer.max_epochs=1", "trainer.accelerator=cpu", "loss._target_=tests.sweeps.losses.Faulty"),
]
STUBBED = """
import sys
from segexp.cli.main import main
from segexp.sweeps import forks, processes

forks.SERVER = processes.CHILD = "tests.sweeps.stub"
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory; segexp in a process of its own finds the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


@pytest.fixture
def stubbed(place, monkeypatch):
    """Processes of jobs are those of `tests.sweeps.stub`."""
    monkeypatch.setattr("segexp.sweeps.forks.SERVER", "tests.sweeps.stub")
    monkeypatch.setattr("segexp.sweeps.processes.CHILD", "tests.sweeps.stub")
    return place


def command(*arguments, stub=False):
    """A command line that runs segexp in a process of its own."""
    program = ["-c", STUBBED] if stub else ["-m", "segexp.cli.main"]
    return [sys.executable, *program, *arguments]


def alive(pid):
    """Does the process still run? One that has ended, and that nobody has asked about, doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
