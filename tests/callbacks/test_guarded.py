"""A tracker that fails ends no training: one warning, and the run's own log is whole."""

import functools

import pytest

from segexp.callbacks.guarded import Guarded
from tests.callbacks import trackers
from tests.runs.planned import ending, hurry, read, run

FAULTS = {
    "FailsToStart": "ConnectionError: no route to the tracker",
    "FailsToLog": "OSError: [Errno 28] No space left on device",
    "FailsToEnd": "TimeoutError: the upload takes too long",
    "FailsToSayItsName": "ValueError: bad key",
}
SHORT = ["trainer.max_epochs=1", "data.train=4"]


def tracked(outputs, name):
    return run(outputs, *SHORT, f"+logger.tracker={{_target_: tests.callbacks.trackers.{name}, _partial_: true, project: mine}}")


@pytest.fixture(scope="module")
def untracked(tmp_path_factory):
    return ending(run(tmp_path_factory.mktemp("untracked"), *SHORT).directory.path)


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    hurry(monkeypatch)
    trackers.Works.seen.clear()
    trackers.Works.ended.clear()


@pytest.mark.parametrize("name", ["FailsToStart", "FailsToLog", "FailsToEnd"])
def test_a_run_whose_tracker_fails_is_done_with_one_warning_and_all_its_figures(tmp_path, untracked, name, capsys):
    outcome = tracked(tmp_path, name)
    assert outcome.directory.state() == "done"
    assert ending(outcome.directory.path) == untracked
    out = capsys.readouterr().out
    assert out.count("warning") == 1
    assert f"warning: {name} failed and is left out; the run's own files have every figure" in out
    log = (outcome.directory.path / "log.txt").read_text()
    assert log.count(f"{name} failed and is left out from here on: {FAULTS[name]}") == 1
    assert read(outcome.directory.path, "status.json")["failures"] == 0


def test_a_tracker_that_works_is_given_what_the_run_logs(tmp_path, untracked, capsys):
    outcome = tracked(tmp_path, "Works")
    assert ending(outcome.directory.path) == untracked
    steps = [step for step, metrics in trackers.Works.seen if "train/loss" in metrics]
    assert steps == [0, 1]
    assert any("val/miou" in metrics for _, metrics in trackers.Works.seen)
    assert "success" in trackers.Works.ended
    assert "warning" not in capsys.readouterr().out


def guarded(kind):
    return Guarded(functools.partial(functools.partial(kind, project="mine"), save_dir="somewhere"))


def test_what_is_asked_of_it_comes_from_the_tracker(capsys):
    logger = guarded(trackers.Works)
    assert (logger.name, logger.version, logger.inner.save_folder) == ("mine", 7, "somewhere")
    logger.log_metrics({"a": 1.0}, 3)
    assert trackers.Works.seen == [(3, {"a": 1.0})]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", FAULTS)
def test_it_is_told_once_and_left_alone_from_then_on(name, capsys):
    with pytest.warns(RuntimeWarning) as caught:
        logger = guarded(getattr(trackers, name))
        assert logger.name in ("mine", name, None)
        logger.log_metrics({"a": 1.0}, 0)
        logger.finalize("success")
        logger.log_metrics({"a": 2.0}, 1)
        logger.save()
        assert (logger.experiment, logger.version) == (None, None)
    (warning,) = caught
    assert str(warning.message) == f"{name} failed and is left out from here on: {FAULTS[name]}"
    assert capsys.readouterr().out.count("warning") == 1
    assert (1, {"a": 2.0}) not in trackers.Works.seen


def test_only_errors_are_caught():
    with pytest.raises(KeyboardInterrupt):
        guarded(_Interrupted)


class _Interrupted(trackers.Works):
    def __init__(self, save_dir, *, project):
        raise KeyboardInterrupt
