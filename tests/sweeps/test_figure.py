"""Twelve real runs, of which five go wrong, and a driver that is killed: the same command again until nothing changes."""

import json
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from segexp.runs.directory import RunDirectory
from tests.sweeps.conftest import SMALL, alive, command

SWEEP = ["--allow=tests", "train", "-m", *SMALL, "seed=range(0,12)", "+loss.fault=${seed}", "launcher.jobs=2", "run.threads=1"]


def states():
    """What `sweep.json` says, by seed."""
    (file,) = Path("outputs/default/sweeps").glob("*/sweep.json")
    return [row["state"] for row in json.loads(file.read_text())["jobs"]]


def runs():
    """The runs by seed."""
    found = {int(path.parent.name.split("-")[-2][1:]): RunDirectory(path.parent) for path in Path("outputs/default").glob("*/status.json")}
    return [found[seed] for seed in sorted(found)]


def starts():
    """How often each run was started, by seed."""
    (jobs,) = Path("outputs/default/sweeps").glob("*/jobs")
    return [(jobs / f"{run.id}.txt").read_text().count(f"run {run.id}, attempt") for run in runs()]


def killed_in_the_middle():
    """Start the sweep, kill its driver once two jobs are done, and wait until its processes have gone."""
    driver = subprocess.Popen(command(*SWEEP), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not list(Path().glob("outputs/default/sweeps/*/sweep.json")) or states().count("done") < 2:
        assert driver.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    pids = [holder["pid"] for run in runs() if (holder := lock_of(run))]
    while any(map(alive, pids)):
        assert time.monotonic() < until
        time.sleep(0.05)


def lock_of(run):
    text = run.lock.read_text() if run.lock.exists() else ""
    return json.loads(text) if text else None


@pytest.mark.slow
def test_a_sweep_of_twelve_ends_with_one_row_each_and_nothing_done_twice(place):
    killed_in_the_middle()
    results = {run.id: run.result_file.stat().st_mtime_ns for run in runs() if run.result_file.exists()}
    assert len(results) >= 2
    rounds, out = [], "starts"
    while "starts" in out:
        assert len(rounds) < 5
        done = subprocess.run(command(*SWEEP), capture_output=True, text=True, check=False, timeout=200)
        out = done.stdout
        rounds.append((done.returncode, states()))
        now = {run.id: run.result_file.stat().st_mtime_ns for run in runs() if run.result_file.exists()}
        assert now.items() >= results.items()  # what was done stays as it was
        results = now
    assert rounds[-1] == (1, ["failed"] * 4 + ["done"] * 8)
    assert rounds[-2] == rounds[-1]
    assert sorted(run.state() for run in runs()) == ["done"] * 8 + ["failed"] * 3 + ["killed"]
    assert [run.read_status()["failures"] for run in runs()[:4]] == [2, 2, 2, 2]
    assert starts()[:5] == [2, 2, 2, 2, 2]  # each failure again once; the one that was killed, to its end
    assert set(starts()[5:]) <= {1, 2}
    assert sum(starts()[5:]) <= 7 + 2  # at most the two that ran when the driver was killed began again
    assert "12 jobs: 8 done, 4 failed, 0 to run" in out
    assert "4 of 12 jobs failed" in done.stderr.splitlines()[-1]
    for row in ("1   failed (2 times)", "5   done"):
        assert f"\n{row}" in out
    assert shlex.split(done.stderr.splitlines()[-1].partition("fix: ")[2])[-1] == "run.max_attempts=3"
