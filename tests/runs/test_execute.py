"""A run made so: done ones are told, interrupted ones go on and end as if nothing had been, failed ones are tried again."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from segexp.cli.main import main
from segexp.errors import HeldError, SegexpError, StoppedError
from segexp.runs.directory import RunDirectory
from segexp.runs.lock import held
from tests.runs.planned import MOMENTS, SMALL, Planned, content, copies_to, ending, fails, folder_of, planned, read, run, signals

pytestmark = pytest.mark.usefixtures("quick")
ROOT = Path(__file__).resolve().parents[2]


def steps_of_log(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if line["name"] == "train/loss"]


def copied(whole, tmp_path):
    """The folder of a copy of the run that is done."""
    shutil.copytree(whole.folder.parent, tmp_path / "outputs" / "default")
    return folder_of(tmp_path / "outputs")


# ------------------------------------------------------------------ done


def test_a_done_run_is_told_and_nothing_is_written(whole, capsys):
    before = content(whole.folder)
    outcome = run(whole.folder.parents[1])
    assert not outcome.ran
    assert outcome.result == read(whole.folder, "result.json")
    assert Planned.steps == []
    assert content(whole.folder) == before


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (None, None),
        ({"versions": {"timm": "0.0.1"}}, "timm 0.0.1 -> "),
        ({"git": {"commit": "0" * 40, "patch": ""}}, "commit "),
        ({"versions": {"wandb": "0.0.1"}}, None),  # it can't change a result
    ],
)
def test_a_done_run_says_what_has_changed_since_in_one_warning(whole, tmp_path, capsys, entry, text):
    shutil.copytree(whole.folder.parent, tmp_path / "outputs" / "default")
    folder = folder_of(tmp_path / "outputs")
    manifest = read(folder, "manifest.json") | {"git": None}
    for name, values in (entry or {}).items():
        manifest[name] = (manifest[name] or {}) | values
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert main(["train", *SMALL, f"paths.outputs={tmp_path}/outputs"]) == 0
    out = capsys.readouterr().out
    assert f"{folder} is done (run.again=true starts it again)" in out
    warnings = [line for line in out.splitlines() if "warning" in line]
    assert len(warnings) == (text is not None)
    if text:
        assert warnings[0].startswith(f"warning: since then has changed: {text}")


def test_a_kill_between_the_result_and_the_state_leaves_a_done_run(whole, tmp_path):
    shutil.copytree(whole.folder.parent, tmp_path / "outputs" / "default")
    folder = folder_of(tmp_path / "outputs")
    RunDirectory(folder).update(state="running")
    outcome = run(tmp_path / "outputs")
    assert not outcome.ran
    assert outcome.directory.state() == "done"
    assert Planned.steps == []
    assert ending(folder) == whole.ending


# ------------------------------------------------------------------ killed


@pytest.mark.parametrize(("moment", "step"), list(zip(MOMENTS, (0, 4, 3, 6, 8), strict=True)))
def test_a_killed_run_goes_on_in_its_attempt_and_ends_the_same(whole, killed, moment, step, capsys):
    outputs = killed(moment)
    assert read(folder_of(outputs), "status.json")["state"] == "running"
    outcome = run(outputs)
    assert outcome.directory.read_status() == {"state": "done", "attempt": 1, "step": 8, "error": None, "failures": 0}
    assert ending(folder_of(outputs)) == whole.ending
    assert steps_of_log(folder_of(outputs)) == list(range(8))
    assert not outcome.directory.attempts.exists()
    out = capsys.readouterr().out
    assert f"taking over from process {os.getpid()} on " in out
    assert Planned.steps == list(range(step, 8))
    assert f"attempt 1{f', going on from step-{step}' if step else ''}: " in out


def test_a_run_that_is_known_to_have_been_killed_goes_on_in_a_next_attempt(whole, killed):
    outputs = killed()
    folder = folder_of(outputs)
    RunDirectory(folder).died("killed by SIGKILL")
    outcome = run(outputs)
    assert outcome.directory.read_status() == {"state": "done", "attempt": 2, "step": 8, "error": None, "failures": 1}
    assert Planned.steps == [4, 5, 6, 7]
    assert ending(folder) == whole.ending
    status = read(folder / "attempts" / "1", "status.json")
    assert (status["state"], status["error"]["what"]) == ("killed", "killed by SIGKILL")


def test_a_run_that_somebody_has_is_left_alone(killed):
    outputs = killed()
    folder = folder_of(outputs)
    before = content(folder)
    with held(folder / "lock"), pytest.raises(HeldError, match=f"process {os.getpid()} on .* has this run"):
        run(outputs)
    assert content(folder) == before


def test_what_dead_processes_were_writing_is_removed_and_what_living_ones_write_stays(killed):
    outputs = killed("in the test")
    folder = folder_of(outputs)
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait(timeout=60)
    gone = [folder / "checkpoints" / f"step-9.ckpt.tmp.{dead.pid}", folder / f"status.json.tmp.{dead.pid}"]
    stays = folder / f"result.json.tmp.{os.getppid()}"
    for path in (*gone, stays):
        path.write_text("half")
    run(outputs)
    assert not any(path.exists() for path in gone)
    assert stays.read_text() == "half"


# ------------------------------------------------------------------ stopped by a signal


@pytest.mark.parametrize(
    ("at", "saved"),
    [(("train", 0), 1), (("train", 5), 6), (("train", 6), 7), (("val", 4), 4), (("val", 8), 8), (("test", 8), 8)],
)
def test_a_signal_saves_and_leaves_and_no_step_is_lost(whole, tmp_path, at, saved, capfd):
    with pytest.raises(StoppedError) as caught:
        run(tmp_path, plan={at: signals(signal.SIGUSR1)})
    assert caught.value.exit_code == 75
    assert caught.value.what == "stopped by SIGUSR1"
    assert "SIGUSR1: stopping after this step (once more: at once)" in capfd.readouterr().err
    folder = folder_of(tmp_path)
    status = read(folder, "status.json")
    assert (status["state"], status["attempt"], status["step"], status["failures"]) == ("preempted", 1, saved, 0)
    assert status["error"]["code"] == "stopped"
    assert Planned.steps == list(range(saved))  # the last step that was done is the one that is saved
    run(tmp_path)
    assert Planned.steps == list(range(saved, 8))
    assert read(folder, "status.json") == {"state": "done", "attempt": 1, "step": 8, "error": None, "failures": 0}
    assert ending(folder) == whole.ending


def test_a_signal_in_a_validation_after_the_training(tmp_path):
    late = ["trainer.check_val_every_n_epoch=3"]
    done = run(tmp_path / "undisturbed", *late)
    with pytest.raises(StoppedError):
        run(tmp_path / "stopped", *late, plan={("val", 8): signals()})
    folder = folder_of(tmp_path / "stopped")
    assert read(folder, "status.json")["state"] == "preempted"
    run(tmp_path / "stopped", *late)
    assert Planned.steps == []
    assert ending(folder) == ending(done.directory.path)


def test_a_signal_that_came_while_the_run_was_being_built(killed, monkeypatch):
    outputs = killed()
    monkeypatch.setattr("segexp.build.prepare", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(StoppedError):
        run(outputs)
    assert Planned.steps == []
    assert read(folder_of(outputs), "status.json")["state"] == "preempted"


def test_handlers_are_the_old_ones_after_a_run_however_it_ended(killed):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    with pytest.raises(StoppedError):
        run(killed(), plan={("train", 6): signals()})
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)] == before


TWICE = """
import os, signal, sys
from segexp.allow import allow
from segexp.cli.main import main
from tests.runs import planned

def both(trainer, module):
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    print("still there", flush=True)

allow("tests")
planned.Planned.plan = {("train", 5): both}
sys.exit(main(["train", *planned.SMALL, f"paths.outputs={sys.argv[1]}"]))
"""


def test_a_second_signal_leaves_at_once_and_the_run_goes_on_from_its_last_checkpoint(whole, tmp_path):
    ended = subprocess.run([sys.executable, "-c", TWICE, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 75, ended.stderr
    assert "still there" not in ended.stdout
    folder = folder_of(tmp_path)
    assert read(folder, "status.json")["state"] == "running"
    run(tmp_path)
    assert Planned.steps == [4, 5, 6, 7]
    assert ending(folder) == whole.ending


# ------------------------------------------------------------------ failed


def test_a_failed_run_is_tried_again_so_often_and_then_no_more(whole, tmp_path, capsys):
    boom = {("train", 5): fails(RuntimeError("boom"))}
    with pytest.raises(RuntimeError, match="boom"):
        run(tmp_path, plan=boom)
    folder = folder_of(tmp_path)
    status = read(folder, "status.json")
    assert (status["state"], status["attempt"], status["step"], status["failures"]) == ("failed", 1, 4, 1)
    assert status["error"]["what"] == "RuntimeError: boom"
    told = {name: (folder / name).read_text() for name in ("log.txt", "traceback.txt")}
    assert "boom" in told["traceback.txt"]

    with pytest.raises(RuntimeError):
        run(tmp_path, plan=boom)
    assert Planned.steps == [4, 5]  # the second attempt went on
    assert {name: (folder / "attempts" / "1" / name).read_text() for name in told} == told
    assert read(folder / "attempts" / "1", "status.json") == status
    assert read(folder, "status.json")["attempt"] == read(folder, "status.json")["failures"] == 2

    before, given = content(folder), [*SMALL, f"paths.outputs={tmp_path}"]
    capsys.readouterr()
    with planned({}):
        assert main(["train", *given]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("segexp: error[failed]: the run failed 2 times: RuntimeError: boom; fix: see traceback.txt; run.max_attempts=3 ")
    assert "run.again=true" in err
    assert "attempt" not in out
    assert content(folder) == before

    run(tmp_path, "run.max_attempts=3")
    assert Planned.steps == [4, 5, 6, 7]
    assert read(folder, "status.json") == {"state": "done", "attempt": 3, "step": 8, "error": None, "failures": 2}
    assert ending(folder) == whole.ending


def test_again_starts_from_nothing_and_counts_anew(whole, killed):
    outputs = killed()
    folder = folder_of(outputs)
    for _ in range(2):
        RunDirectory(folder).fail(RuntimeError("boom"), "Traceback ...")
    kept = content(folder / "checkpoints")
    with pytest.raises(SegexpError, match="the run failed 2 times"):
        run(outputs)
    run(outputs, "run.again=true")
    assert Planned.steps == list(range(8))
    status = {"state": "done", "attempt": 2, "step": 8, "error": None, "failures": 0, "again": True}
    assert read(folder, "status.json") == status
    assert content(folder / "attempts" / "1" / "checkpoints") == kept
    assert read(folder / "attempts" / "1", "status.json")["failures"] == 2
    assert ending(folder) == whole.ending


def test_again_goes_on_if_it_was_stopped_and_then_starts_once_more(whole, tmp_path):
    folder = copied(whole, tmp_path)
    with pytest.raises(StoppedError):
        run(tmp_path / "outputs", "run.again=true", plan={("train", 5): signals()})
    status = read(folder, "status.json")
    assert (status["state"], status["attempt"], status["step"]) == ("preempted", 2, 6)
    outcome = run(tmp_path / "outputs", "run.again=true")
    assert outcome.ran
    assert Planned.steps == [6, 7]
    assert (outcome.directory.read_status()["state"], outcome.directory.read_status()["attempt"]) == ("done", 2)
    assert ending(folder) == whole.ending
    with pytest.raises(StoppedError):
        run(tmp_path / "outputs", "run.again=true", plan={("train", 1): signals()})
    assert Planned.steps == [0, 1]
    assert read(folder, "status.json")["attempt"] == 3
    run(tmp_path / "outputs")  # without the word it goes on, too
    assert Planned.steps == list(range(2, 8))
    assert ending(folder) == whole.ending


def test_again_goes_on_after_a_kill(whole, tmp_path):
    outputs = copied(whole, tmp_path).parents[1]
    run(outputs, "run.again=true", plan={("train", 5): copies_to(tmp_path / "killed")})
    run(tmp_path / "killed", "run.again=true")
    assert Planned.steps == [4, 5, 6, 7]
    assert read(folder_of(tmp_path / "killed"), "status.json")["attempt"] == 2
    assert ending(folder_of(tmp_path / "killed")) == whole.ending


def test_an_exit_within_a_run_is_a_failure(killed):
    outputs = killed()
    with pytest.raises(SegexpError) as caught:
        run(outputs, plan={("train", 6): fails(SystemExit(0))})
    assert caught.value.what == "sys.exit(0) within the run"
    assert caught.value.exit_code == 1
    status = read(folder_of(outputs), "status.json")
    assert (status["state"], status["step"], status["error"]["what"]) == ("failed", 6, "sys.exit(0) within the run")
    assert not (folder_of(outputs) / "result.json").exists()


def test_a_record_that_broke_meanwhile_does_not_hide_why_the_run_failed(killed):
    outputs = killed()

    def breaks(trainer, module):
        (folder_of(outputs) / "checkpoints" / "step-6.json").write_text("{")
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        run(outputs, plan={("train", 7): breaks})
    status = read(folder_of(outputs), "status.json")
    assert (status["state"], status["step"], status["error"]["what"]) == ("failed", 4, "RuntimeError: boom")


# ------------------------------------------------------------------ the page


def test_a_page_that_cannot_be_written_fails_no_run_and_hides_no_failure(killed, monkeypatch, capsys):
    def broken(_):
        raise ValueError("no fonts")

    monkeypatch.setattr("segexp.report.page.write_report", broken)
    outputs = killed("in the test")
    with pytest.raises(RuntimeError, match="boom"):
        run(outputs, plan={("test", 8): fails(RuntimeError("boom"))})
    assert run(outputs).directory.state() == "done"
    assert "warning: no report.html was written (ValueError: no fonts); segexp report writes it" in capsys.readouterr().out
