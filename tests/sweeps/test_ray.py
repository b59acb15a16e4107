"""Sweeps on a real Ray of this machine, with runs that take no time."""

import json
import os
import signal
import threading
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from segexp.cli.main import main
from segexp.errors import ConfigError
from segexp.runs.directory import RunDirectory
from segexp.sweeps.ray.launcher import RayLauncher
from tests.sweeps.conftest import SMALL

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="no Ray: pip install 'segexp[ray]'")


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two nodes that runs, of one core each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    utils = pytest.importorskip("ray.cluster_utils")
    made = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()


@pytest.fixture
def stubbed_ray(place, monkeypatch):
    """The processes of jobs are those of `tests.sweeps.stub`, also in tasks of Ray."""
    from tests.sweeps.ray_stub import supervise

    monkeypatch.setattr("segexp.sweeps.ray.starter.supervise", supervise)
    return place


def sweep(*overrides, at=None):
    return main(["train", "-m", *SMALL, "launcher=ray", *([f"launcher.address={at.address}"] if at else []), *overrides])


def rows_of():
    (folder,) = Path("outputs", "default", "sweeps").iterdir()
    return json.loads((folder / "sweep.json").read_text())["jobs"]


def rows():
    (folder,) = Path("outputs", "default", "sweeps").iterdir()
    found = rows_of()
    return {next(text.partition("fault=")[2] for text in row["overrides"] if "fault=" in text): row for row in found}, folder


def when(file, count, act):
    """In a thread: wait for a file of so many runs, then act on what one says."""

    def wait():
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = list(Path("outputs", "default").glob(f"*/{file}"))
            if len(found) >= count:
                act(json.loads(found[0].read_text()))
                return
            time.sleep(0.05)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
def test_every_end_of_a_job_has_its_name_and_the_others_finish(stubbed_ray, capsys):
    faults = ("fine", "error", "kill", "exit_0")
    assert sweep(f"+loss.fault={','.join(faults)}") == 1  # on a cluster of this machine, made for the sweep
    out, err = capsys.readouterr()
    found, folder = rows()
    assert {fault: (row["state"], row["cause"]) for fault, row in found.items()} == {
        "fine": ("done", None),
        "error": ("failed", "exit 1"),
        "kill": ("failed", "SIGKILL"),
        "exit_0": ("failed", "exit 0 without a result"),
    }
    assert "Ray has " in out
    assert "segexp: error[unexpected]: RuntimeError: a bug" in err
    assert err.splitlines()[-1].startswith(f"segexp: error[failed]: 3 of 4 jobs failed; {folder}; fix: segexp train -m ")


@pytest.mark.slow
def test_a_signal_stops_the_jobs_with_their_state_saved_and_the_same_command_goes_on(stubbed_ray, cluster, capsys):
    when("process.json", 2, lambda said: os.kill(os.getpid(), signal.SIGTERM))
    assert sweep("+loss.fault=stop,sleep_deaf", "launcher.grace=3", at=cluster) == 75
    found, folder = rows()
    assert {row["state"] for row in found.values()} == {"pending"}
    assert RunDirectory(folder / found["stop"]["path"]).state() == "preempted"  # it has saved
    assert RunDirectory(folder / found["sleep_deaf"]["path"]).state() == "running"  # it was killed
    out, err = capsys.readouterr()
    assert "Ray has 2 cores" in out
    assert "segexp: error[stopped]: stopped by SIGTERM: 2 of 2 jobs are not done" in err


@pytest.mark.slow
def test_a_worker_that_is_lost_is_told_in_the_row_and_the_same_command_goes_on(stubbed_ray, cluster, capsys):
    when("process.json", 1, lambda said: os.kill(said["parent"], signal.SIGKILL))
    assert sweep("+loss.fault=stop", at=cluster) == 1
    found, _ = rows()
    assert (found["stop"]["state"], found["stop"]["cause"]) == ("failed", "node lost")
    Path("go-on").touch()
    assert sweep("+loss.fault=stop", at=cluster) == 0
    assert rows()[0]["stop"]["state"] == "done"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "what", "fix"),
    [
        (
            ["trainer=ddp", "trainer.devices=1", "trainer.num_nodes=2"],
            "a job of Ray has one machine",
            "trainer.num_nodes=1, or launcher=slurm",
        ),
        (["launcher.cpus=2"], "Ray would wait for ever: a machine has 1 cores and 0 GPUs at most", "launcher.cpus, trainer.devices"),
    ],
)
def test_a_job_that_ray_cannot_run_is_refused(stubbed_ray, cluster, capsys, overrides, what, fix):
    name, _, value = overrides[-1].partition("=")
    if name.startswith("launcher."):  # of all jobs
        assert sweep(*overrides, "trainer.accelerator=cpu", at=cluster) == 1
    else:  # of one: the other is done
        assert sweep(*overrides[:-1], f"{name}={value},1", "trainer.accelerator=cpu", at=cluster) == 1
        assert Counter(row["state"] for row in rows_of()) == {"failed": 1, "done": 1}
    told = next(line for line in capsys.readouterr().err.splitlines() if "error[config]" in line)
    assert told.strip().startswith(f"segexp: error[config]: {what}")
    assert told.endswith(f"fix: {fix}")


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"jobs": 0}, "launcher.jobs=0"),
        ({"cpus": "many"}, "launcher.cpus=many"),
        ({"memory_gb": -1}, "launcher.memory_gb=-1"),
        ({"grace": 0}, "launcher.grace=0"),
        ({"address": 3}, "launcher.address=3"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, where):
    with pytest.raises(ConfigError) as caught:
        RayLauncher(**settings)
    assert caught.value.where == where
