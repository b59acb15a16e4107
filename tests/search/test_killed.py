"""A search whose driver is killed ends as one that nobody disturbed: the same trials, none twice, none left over."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.search.conftest import DRIVE, LR, driven, record, starts, trials
from tests.sweeps.conftest import alive

SEARCH = ("sweep=asha", "sweep.trials=7", "sweep.startup=3", LR, "seed=0,1,2", "launcher.spawn=fork")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The trials of the search that all tests here disturb."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("undisturbed"))
        done = driven(*SEARCH)
        assert done.returncode == 0, done.stderr
        found = trials()
    assert {trial[1] for trial in found} == {"COMPLETE", "PRUNED"}
    return found


@pytest.mark.parametrize("kill", ["asked:5", "suggested:9", "drawn:7", "telling:4", "told:6"])
def test_the_driver_is_killed(place, undisturbed, kill):
    assert driven(*SEARCH, KILL=kill).returncode == -signal.SIGKILL
    done = driven(*SEARCH)
    assert done.returncode == 0, done.stderr
    assert trials() == undisturbed
    assert len(record()[0]["jobs"]) == 7
    assert set(starts().values()) == {1}  # between a run's end and what is told of it nothing is lost


@pytest.mark.parametrize("step", [1, 5])
def test_a_run_is_killed_with_the_driver(place, undisturbed, step):
    killed = driven(*SEARCH, STUB_KILL=f"validation:{step}", KILL="telling:1" if step == 5 else "")
    assert killed.returncode in (0, -signal.SIGKILL)
    again = driven(*SEARCH)
    assert again.returncode == 0, again.stderr
    found = trials()
    assert len(found) == 7
    assert not [trial for trial in found if trial[1] in ("RUNNING", "WAITING")]


def test_a_machine_that_stops_leaves_no_zombie(place, undisturbed):
    """Driver, server and run die at once in the middle of a run; the run goes on behind its last validation."""
    command = [sys.executable, "-c", DRIVE, "train", "-m", *SEARCH]
    with subprocess.Popen(
        command, env=os.environ | {"STUB_SECONDS": "0.2"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as driver:
        until = time.monotonic() + 60
        while not [path for path in Path().glob("outputs/default/*/validations.json") if len(json.loads(path.read_text())["figures"]) == 3]:
            assert time.monotonic() < until
            time.sleep(0.02)
        (line,) = Path("started.txt").read_text().splitlines()
        pid = int(line.split()[2])
        server = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        for one in (server, pid, driver.pid):
            os.kill(one, signal.SIGKILL)
        driver.wait(30)
    while alive(pid):
        time.sleep(0.01)
    done = driven(*SEARCH)
    assert done.returncode == 0, done.stderr
    assert trials() == undisturbed
    assert sorted(starts().values()) == [1] * 6 + [2]


def test_a_driver_that_dies_leaves_its_run_to_the_next(place, undisturbed):
    """The run gets SIGTERM, saves its state, and the next driver starts the same trial once more."""
    command = [sys.executable, "-c", DRIVE, "train", "-m", *SEARCH]
    with subprocess.Popen(
        command, env=os.environ | {"STUB_SECONDS": "0.2"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as driver:
        until = time.monotonic() + 60
        while not list(Path().glob("outputs/default/*/validations.json")):
            assert time.monotonic() < until
            time.sleep(0.02)
        driver.kill()
        driver.wait(30)
    done = driven(*SEARCH)  # at once: the run may still be saving
    assert done.returncode == 0, done.stderr
    assert trials() == undisturbed


def test_several_at_a_time_survive_a_kill_with_exactly_so_many(place):
    many = ("sweep=tpe", "sweep.trials=10", "sweep.startup=4", LR, "launcher.jobs=3", "launcher.spawn=fork")
    assert driven(*many, KILL="telling:4", STUB_SECONDS="0.02").returncode == -signal.SIGKILL
    done = driven(*many)
    assert done.returncode == 0, done.stderr
    found = trials()
    assert [trial[:2] for trial in found] == [(number, "COMPLETE") for number in range(10)]
