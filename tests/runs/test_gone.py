"""Files of a run that are gone: it goes on where nothing is lost by it, and is refused where something would be."""

import json
import shutil

import pytest

from segexp.cli.main import main
from segexp.errors import ConfigError, WeightsError
from segexp.runs.directory import RunDirectory
from tests.runs.planned import SMALL, Planned, ending, folder_of, planned, read, refused, run

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def done(whole, tmp_path):
    """The folder of a fresh copy of the run that is done."""
    shutil.copytree(whole.folder.parent, tmp_path / "outputs" / "default")
    return folder_of(tmp_path / "outputs")


def steps_of_losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if line["name"] == "train/loss"]


@pytest.mark.parametrize(
    ("moment", "step"), [("before the first checkpoint", 0), ("between two checkpoints", 4), ("in the last validation", 6)]
)
def test_an_interrupted_run_without_its_status_goes_on_exactly(whole, killed, moment, step):
    outputs = killed(moment)
    folder = folder_of(outputs)
    (folder / "status.json").unlink()
    assert run(outputs).ran
    assert Planned.steps == list(range(step, 8))
    assert ending(folder) == whole.ending
    assert steps_of_losses(folder) == list(range(8))
    assert read(folder, "status.json") == {"state": "done", "attempt": 1, "step": 8, "error": None, "failures": 0}


def test_the_number_of_the_attempt_is_known_without_the_status(whole, killed):
    outputs = killed()
    folder = folder_of(outputs)
    RunDirectory(folder).died("killed by SIGKILL")
    run(outputs, "run.again=true")
    (folder / "result.json").unlink()
    (folder / "status.json").unlink()
    run(outputs)
    assert Planned.steps == []
    assert read(folder, "status.json")["attempt"] == 2
    assert ending(folder) == whole.ending


def test_a_done_run_without_its_status_is_told(done):
    (done / "status.json").unlink()
    outcome = run(done.parents[1])
    assert (outcome.ran, outcome.result) == (False, read(done, "result.json"))
    assert outcome.directory.state() == "done"


def test_a_done_run_without_its_result_is_evaluated_again(whole, done):
    (done / "result.json").unlink()
    outcome = run(done.parents[1])
    assert outcome.ran
    assert Planned.steps == []
    assert ending(done) == whole.ending
    assert steps_of_losses(done) == list(range(8))
    assert outcome.directory.read_status() == {"state": "done", "attempt": 1, "step": 8, "error": None, "failures": 0}
    assert not (done / "attempts").exists()


def test_without_checkpoints_after_one_was_saved_nothing_starts_from_nothing_unasked(whole, killed):
    outputs = killed()
    folder = folder_of(outputs)
    shutil.rmtree(folder / "checkpoints")
    for mode in ("auto", "must"):
        error = refused(WeightsError, outputs, f"resume.mode={mode}")
        assert error.what == "the run's checkpoints are gone"
        assert (error.where, error.fix) == (str(folder / "checkpoints"), "restore them, or resume.mode=never")
    run(outputs, "resume.mode=never")
    assert Planned.steps == list(range(8))
    assert read(folder, "status.json")["attempt"] == 2
    assert ending(folder) == whole.ending


def test_without_its_manifest_an_interrupted_run_is_refused(whole, killed):
    outputs = killed()
    folder = folder_of(outputs)
    (folder / "manifest.json").unlink()
    error = refused(ConfigError, outputs)
    assert error.what == "the run's manifest is gone"
    assert (error.where, error.fix) == (str(folder / "manifest.json"), "restore it, or start from scratch: resume.mode=never")
    run(outputs, "resume.mode=never")
    assert Planned.steps == list(range(8))
    assert ending(folder) == whole.ending


def test_without_its_manifest_a_done_run_is_told_with_a_warning(done, capsys):
    (done / "manifest.json").unlink()
    with planned({}):
        assert main(["train", *SMALL, f"paths.outputs={done.parents[1]}"]) == 0
    assert "warning: since then has changed: its manifest is gone" in capsys.readouterr().out
