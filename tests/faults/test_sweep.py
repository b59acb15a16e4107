"""U4, and rows 38-41: one sweep of many jobs of which each fails in another way in the middle of its training.

The others finish as they would alone, each job has one row that says how it ended, the sweep fails and names the command that
runs only what failed.
"""

import json
import shlex
import subprocess
from types import SimpleNamespace

import pytest

from segexp.runs.directory import RunDirectory
from tests.faults.harness import command, environment, expect, process, snapshot
from tests.runs.planned import SMALL, folder_of, weights
from tests.sweeps.conftest import command as stubbed

FINE = ("none", "last")
# fault -> state of the row's run, cause, text of the error
FAULTS = {
    "globals_changed": ("failed", "exit 1", "RuntimeError: globals were changed"),
    "memory": ("failed", "out of memory", "the memory is too small for step 2 with a batch of 2 x 32x48"),
    "exits": ("failed", "exit 1", "sys.exit(0) within the run"),
    "segfault": ("killed", "SIGSEGV", "the process ended by SIGSEGV"),
    "killed": ("killed", "SIGKILL", "the process ended by SIGKILL"),
    "not_a_number": ("failed", "nonfinite", "the loss is nan (ce nan) at step 2, epoch 0"),
    "empty_picture": ("failed", "data", "the file is empty"),
}
JOB = [*SMALL, "loss._target_=tests.faults.struck.Struck", "trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The sweep: `said`, `rows` by fault, its `folder`, and the `outputs`."""
    outputs = tmp_path_factory.mktemp("swept")
    order = [*list(FAULTS)[:2], "none", *list(FAULTS)[2:], "last"]  # rows 38 and 40: what comes after them is as it is alone
    arguments = ["train", "-m", *JOB, f"+loss.fault={','.join(order)}", "launcher.jobs=2", f"paths.outputs={outputs}"]
    said = process(*arguments, timeout=300)
    (folder,) = outputs.glob("*/sweeps/*")
    rows = json.loads((folder / "sweep.json").read_text())["jobs"]
    by_fault = {next(text for text in row["overrides"] if "loss.fault" in text).partition("=")[2]: row for row in rows}
    assert list(by_fault) == order
    return SimpleNamespace(said=said, rows=by_fault, folder=folder, outputs=outputs)


def alone(fault, outputs):
    """The weights of a job that is run by itself."""
    assert command("train", *JOB, f"+loss.fault={fault}", f"paths.outputs={outputs}").code == 0
    return weights(folder_of(outputs))


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_job_that_fails_has_one_row(swept, fault):
    state, cause, text = FAULTS[fault]
    row = swept.rows[fault]
    assert (row["state"], row["cause"]) == ("failed", cause), row
    assert text in row["error"]
    run = RunDirectory(swept.folder / row["path"])
    status = run.read_status()
    assert (status["state"], status["failures"], status["attempt"]) == (state, 1, 1)
    assert not run.result_file.exists()
    assert run.metrics.read_text().count('"train/loss"') == 2
    assert "  " + row["error"].strip() in swept.said.err


@pytest.mark.slow
@pytest.mark.parametrize("fault", FINE)
def test_a_job_that_is_fine_is_as_it_is_alone(swept, fault, tmp_path, quick):
    row = swept.rows[fault]
    assert (row["state"], row["cause"]) == ("done", None)
    assert weights(swept.folder / row["path"]).equal(alone(fault, tmp_path))


@pytest.mark.slow
def test_the_sweep_fails_and_names_the_command_that_runs_only_what_failed(swept):
    expect(swept.said, "failed", f"{len(FAULTS)} of {len(FAULTS) + len(FINE)} jobs failed", str(swept.folder))
    assert len(list(swept.outputs.glob("*/*/status.json"))) == len(FAULTS) + len(FINE)
    again = shlex.split(swept.said.last.partition("fix: ")[2])
    done = {name: digest for name, digest in snapshot(swept.outputs).items() if any(swept.rows[f]["run"] in name for f in FINE)}
    arguments = stubbed(*again[1:], stub=True)  # it starts jobs that take no time
    told = subprocess.run(arguments, env=environment(), timeout=120, capture_output=True, text=True, check=False)
    assert told.returncode == 1, told.stderr
    logs = {fault: (swept.folder / row["log"]).read_text().count(" starts") for fault, row in swept.rows.items()}
    assert logs == {fault: int(fault in FAULTS) for fault in swept.rows}
    assert {name: snapshot(swept.outputs).get(name) for name in done} == done
