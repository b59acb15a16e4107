import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, missing
from tests.sweeps.conftest import ROOT, SMALL, command

STUBBED = [f"launcher.python='{sys.executable} {ROOT / 'tests/slurm/stubbed.py'}'", "launcher.poll=0.5", "launcher.cpus_per_task=1"]


@pytest.fixture(scope="session")
def slurm():
    """A Slurm of this test process."""
    if why := missing():
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    with Cluster(folder, cpus=8, kill_wait=5) as cluster:
        yield cluster
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(slurm, tmp_path, monkeypatch):
    """The Slurm, empty; this process is in a folder of its own and finds it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin:/sbin")
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    yield slurm
    slurm.run("scancel", "--user=root", check=False)
    slurm.run("scancel", "--me", check=False)


class Driver:
    """A `segexp train -m launcher=slurm` in a process of its own, its jobs stubs."""

    def __init__(self, *overrides):
        self.output = Path("driver.txt").open("a+b")  # noqa: SIM115
        self.from_ = self.output.tell()
        typed = command("train", "-m", *SMALL, "launcher=slurm", *STUBBED, *overrides)
        self.process = subprocess.Popen(typed, stdout=self.output, stderr=self.output, start_new_session=True)

    def said(self):
        return Path("driver.txt").read_bytes()[self.from_ :].decode()

    def end(self, seconds=90):
        """The exit code and what was said."""
        try:
            return self.process.wait(seconds), self.said()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(self.said()) from None


@pytest.fixture
def driver(cluster):
    """Starts drivers; ends those that are left."""
    made = []

    def start(*overrides):
        made.append(Driver(*overrides))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        one.output.close()


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, condition
        time.sleep(0.1)
    return found
