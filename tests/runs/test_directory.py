"""A run's directory: its place, its states, its attempts, and that a kill at any step of `begin` loses nothing."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from segexp.errors import ConfigError, NonFiniteLossError
from segexp.functional.files import read_json
from segexp.runs import directory
from segexp.runs.directory import RunDirectory, probe
from segexp.runs.find import find
from segexp.runs.identity import identity

CONFIG = OmegaConf.create(
    {
        "name": "base",
        "seed": 0,
        "decoder": {"_target_": "x.DeepLabV3Plus"},
        "backbone": {"name": "resnet18"},
        "paths": {"data": "${oc.env:SEGEXP_NOWHERE}"},
        "data": {"_target_": "x.Shapes", "root": "${paths.data}/shapes"},
    }
)
ID = identity(CONFIG)
NEW = {"state": "running", "attempt": 1, "step": 0, "error": None, "failures": 0}


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch):
    monkeypatch.setattr("segexp.functional.files.os.fsync", lambda _: None)  # slow, and a kill of the process doesn't need it


@pytest.fixture
def run(tmp_path):
    return RunDirectory.of(CONFIG, tmp_path)


def begin(run, overrides=("model=deeplabv3plus",)):
    return run.begin(CONFIG, overrides, {"id": ID, "id_version": 1})


def tree(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


# ------------------------------------------------------------------ place


def test_the_place_follows_from_the_config_alone(run, tmp_path):
    assert run.path == tmp_path / "base" / f"shapes-deeplabv3plus-resnet18-s0-{ID}"
    assert (run.id, run.outputs) == (ID, tmp_path)
    assert not run.path.exists()


def test_without_a_name_the_folder_is_default(tmp_path):
    config = OmegaConf.create({"seed": 1})
    assert RunDirectory.of(config, tmp_path).path.parent == tmp_path / "default"
    assert RunDirectory.of(config, tmp_path).path.name.startswith("s1-")


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a\nb"])
def test_a_name_that_is_no_folder_is_refused(tmp_path, name):
    config = OmegaConf.create({"name": name})
    with pytest.raises(ConfigError, match="must be a plain folder name"):
        RunDirectory.of(config, tmp_path)


def test_the_files_are_those_of_the_documentation(run):
    files = [run.config, run.overrides, run.manifest, run.status, run.metrics, run.result_file, run.per_image, run.checkpoints]
    files += [run.evaluations, run.images, run.report, run.log, run.traceback]
    assert [f.name for f in files] == [
        *("config.yaml", "overrides.txt", "manifest.json", "status.json", "metrics.jsonl", "result.json", "per_image.jsonl", "checkpoints"),
        *("evaluations", "images", "report.html", "log.txt", "traceback.txt"),
    ]
    assert {f.parent for f in files} == {run.path}


# ------------------------------------------------------------------ states


def test_a_run_that_was_never_begun_is_pending(run):
    assert (run.state(), run.result()) == ("pending", None)
    assert run.read_status() == {"state": "pending", "attempt": 1, "step": 0, "error": None, "failures": 0}


def test_begin_writes_what_the_run_is(run, monkeypatch):
    monkeypatch.setattr("segexp.allow._added", ("mylab",))
    assert begin(run, ["data.title='a b'", "trainer.devices=[0,1]"]) == 1
    assert read_json(run.status) == NEW
    assert OmegaConf.load(run.config) == CONFIG
    assert "root: ${paths.data}/shapes" in run.config.read_text()  # interpolations are kept, the environment isn't read
    assert run.overrides.read_text() == "segexp train --allow=mylab 'data.title='\"'\"'a b'\"'\"'' 'trainer.devices=[0,1]'\n"
    assert read_json(run.manifest) == {"id": ID, "id_version": 1}
    assert {p.name for p in run.path.iterdir()} == {"config.yaml", "overrides.txt", "manifest.json", "status.json"}


def test_updates_change_only_what_they_name(run):
    begin(run)
    run.update(step=120)
    run.update(state="preempted")
    assert read_json(run.status) == {"state": "preempted", "attempt": 1, "step": 120, "error": None, "failures": 0}
    with pytest.raises(ValueError, match="'finished' is none of the states"):
        run.update(state="finished")


def test_finish_writes_the_result_before_the_state(run, monkeypatch):
    begin(run)
    written = []
    write = directory.write_json
    monkeypatch.setattr(directory, "write_json", lambda path, value: (written.append(path.name), write(path, value)))
    run.finish({"val": {"miou": 0.5, "iou/road": float("nan")}})
    assert written == ["result.json", "status.json"]
    assert run.result() == {"val": {"miou": 0.5, "iou/road": None}}
    assert run.state() == "done"


def test_fail_keeps_the_traceback_and_the_parts_of_the_error(run):
    begin(run)
    run.update(step=7)
    run.fail(NonFiniteLossError("the loss is NaN", where="step 7", fix="lower optimizer.lr"), "Traceback ...\n")
    error = {"code": "nonfinite", "what": "the loss is NaN", "where": "step 7", "fix": "lower optimizer.lr"}
    assert read_json(run.status) == {"state": "failed", "attempt": 1, "step": 7, "error": error, "failures": 1}
    assert run.traceback.read_text() == "Traceback ...\n"


@pytest.mark.parametrize(("error", "what"), [(ValueError("no"), "ValueError: no"), (KeyboardInterrupt(), "KeyboardInterrupt")])
def test_fail_names_errors_that_nobody_expected(run, error, what):
    begin(run)
    run.fail(error, "")
    assert read_json(run.status)["error"] == {"code": "unexpected", "what": what, "where": "", "fix": "see traceback.txt"}


def test_a_done_attempt_forgets_an_error_of_before(run):
    begin(run)
    run.update(state="failed", error={"code": "x"})
    run.finish({})
    assert read_json(run.status)["error"] is None


# ------------------------------------------------------------------ attempts


def fill(run, mark):
    """What an attempt leaves: files and folders with content that names the attempt."""
    run.metrics.write_text(f"metrics {mark}")
    run.checkpoints.mkdir()
    (run.checkpoints / "step-3.ckpt").write_text(f"weights {mark}")
    (run.evaluations / "e").mkdir(parents=True)
    (run.evaluations / "e" / "result.json").write_text(f"evaluation {mark}")
    run.finish({"mark": mark})


def test_the_attempt_before_moves_away_as_a_whole(run):
    begin(run)
    fill(run, 1)
    before = tree(run.path)
    assert begin(run) == 2
    assert tree(run.attempts / "1") == before
    assert {p.name for p in run.path.iterdir()} == {"attempts", "config.yaml", "overrides.txt", "manifest.json", "status.json"}
    assert read_json(run.status) == NEW | {"attempt": 2}
    fill(run, 2)
    assert begin(run) == 3
    assert sorted(p.name for p in run.attempts.iterdir()) == ["1", "2"]
    assert (run.attempts / "2" / "metrics.jsonl").read_text() == "metrics 2"
    assert not (run.attempts / "2" / "attempts").exists()


@pytest.mark.parametrize("state", ["running", "failed", "killed", "preempted", "pruned", "done"])
def test_every_state_but_pending_is_put_away(run, state):
    begin(run)
    run.update(state=state)
    assert begin(run) == 2
    assert read_json(run.attempts / "1" / "status.json")["state"] == state


def test_a_pending_attempt_is_begun_in_place_and_a_log_that_is_open_stays(run):
    run.path.mkdir(parents=True)
    run.log.write_text("launched")
    assert begin(run) == 1
    run.update(state="pending")
    assert begin(run) == 1
    assert not run.attempts.exists()
    assert run.log.read_text() == "launched"


class Killed(BaseException):
    """Stands for the end of the process."""


def calls_of_begin(monkeypatch, stop_at):
    """Count every call that changes the disk; the process dies just before number `stop_at`."""
    count = [0]

    def guarded(call):
        def wrapped(*args, **kwargs):
            count[0] += 1
            if count[0] == stop_at:
                raise Killed
            return call(*args, **kwargs)

        return wrapped

    for name in ("write_json", "write_atomic", "sync_folder"):
        monkeypatch.setattr(directory, name, guarded(getattr(directory, name)))
    for name in ("rename", "mkdir", "unlink"):
        monkeypatch.setattr(directory.Path, name, guarded(getattr(Path, name)))
    return count


def steps_of_begin(folder):
    with pytest.MonkeyPatch.context() as patch:
        run = RunDirectory(folder / "base" / f"x-{ID}")
        begin(run)
        fill(run, 1)
        count = calls_of_begin(patch, stop_at=0)
        begin(run)
    return count[0]


@pytest.mark.parametrize("failing_on_the_way", [False, True])
def test_a_kill_at_any_step_of_begin_loses_nothing(tmp_path, failing_on_the_way):
    steps = steps_of_begin(tmp_path / "count")
    assert steps > 15  # the probe, the copy of the status, six moves, four files, two states of the move
    for stop in range(1, steps + 1):
        run = RunDirectory(tmp_path / str(stop) / "base" / f"x-{ID}")
        begin(run)
        fill(run, 1)
        before = tree(run.path)
        with pytest.MonkeyPatch.context() as patch:
            calls_of_begin(patch, stop)
            with pytest.raises(Killed):
                begin(run)
        held = sorted(tree(run.path).values())
        assert not set(before.values()) - set(held), stop  # each file's content is still there
        if run.state() == "done":
            assert run.result() == {"mark": 1}, stop  # nobody is told "done" of a run that lost its result
        if failing_on_the_way and run.state() == "pending":
            run.fail(OSError("disk"), "Traceback ...")
        last = begin(run)
        assert last == (3 if (run.attempts / "2").exists() else 2), stop
        kept = tree(run.attempts / "1")
        assert {name: kept[name] for name in before} == before, stop
        more = set(kept) - set(before) - {f".probe.{os.getpid()}"}
        assert more <= ({"traceback.txt"} if failing_on_the_way else set()), stop  # nothing of another attempt
        top = {p.name for p in run.path.iterdir()} - {f".probe.{os.getpid()}"}
        assert top == {"attempts", "config.yaml", "overrides.txt", "manifest.json", "status.json"}, stop
        assert read_json(run.status) == NEW | {"attempt": last}, stop


def test_what_an_interrupted_move_has_kept_is_never_overwritten(run):
    begin(run)
    fill(run, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory.Path, "rename", lambda self, to: (Path.replace(self, to), (_ for _ in ()).throw(Killed))[0])
        with pytest.raises(Killed):
            begin(run)
    moved = next(p.name for p in (run.attempts / "1").iterdir() if p.name != "status.json")
    assert moved == "checkpoints"
    run.checkpoints.mkdir()
    (run.checkpoints / "late").write_text("late")
    begin(run)
    assert (run.attempts / "1" / "checkpoints" / "step-3.ckpt").read_text() == "weights 1"
    assert (run.attempts / "1" / "checkpoints.1" / "late").read_text() == "late"


def test_a_directory_of_another_run_is_refused_and_left_alone(run):
    begin(run)
    before = tree(run.path)
    with pytest.raises(ConfigError) as caught:
        run.begin(CONFIG, [], {"id": "0123456789ab"})
    assert caught.value.what == f"the folder belongs to the run {ID}, not to 0123456789ab"
    assert caught.value.where == str(run.path)
    assert tree(run.path) == before


def test_a_directory_named_for_another_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="belongs to the run 0123456789ab"):
        begin(RunDirectory(tmp_path / "base" / "x-0123456789ab"))


# ------------------------------------------------------------------ the outputs folder


def test_a_missing_outputs_folder_is_made_where_its_parent_exists(tmp_path):
    probe(tmp_path / "outputs")
    assert (tmp_path / "outputs").is_dir() and not any((tmp_path / "outputs").iterdir())


def test_an_outputs_folder_in_nowhere_is_refused(tmp_path):
    with pytest.raises(ConfigError) as caught:
        probe(tmp_path / "typo" / "outputs")
    text = f"runs can't be written: the folder above it doesn't exist; paths.outputs={tmp_path}/typo/outputs; fix: paths.outputs=<folder>"
    assert str(caught.value) == text
    assert caught.value.exit_code == 2 and not (tmp_path / "typo").exists()


def test_an_outputs_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "outputs").write_text("")
    with pytest.raises(ConfigError, match="runs can't be written: File exists"):
        probe(tmp_path / "outputs")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_the_probe_syncs_and_renames(run, monkeypatch, call):
    def broken(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("segexp.functional.files.os.fsync" if call == "fsync" else "segexp.functional.files.Path.replace", broken)
    with pytest.raises(ConfigError, match="runs can't be written: Read-only file system"):
        begin(run)
    assert not run.path.exists()


def test_a_folder_without_the_right_to_write_is_refused():
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(ConfigError, match="runs can't be written: Permission denied"):
            probe(folder)
        with pytest.raises(ConfigError, match="runs can't be written: Permission denied"):
            begin(RunDirectory(folder / "base" / f"x-{ID}"))
    finally:
        os.seteuid(user)
        shutil.rmtree(folder)


# ------------------------------------------------------------------ finding a run


@pytest.fixture
def outputs(tmp_path):
    for folder in ("base/a-0123456789ab", "base/b-0123ffffffff", "other/c-fedcba987654", "other/sweeps", "other/d-111111111111"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "other/d-111111111111/config.yaml").unlink()
    (tmp_path / "base/file-222222222222").write_text("")
    (tmp_path / ".gitkeep").write_text("")
    return tmp_path


@pytest.mark.parametrize("text", ["fedc", "fedcba987654", "c-fedcba987654"])
def test_a_run_is_found_by_its_id_a_prefix_or_its_name(outputs, text):
    assert find(text, outputs).path == outputs / "other" / "c-fedcba987654"


def test_a_run_is_found_by_its_directory(outputs, monkeypatch):
    assert find(str(outputs / "base" / "a-0123456789ab"), Path("/nowhere")).id == "0123456789ab"
    monkeypatch.chdir(outputs / "base")
    assert find("a-0123456789ab/", outputs).path == Path("a-0123456789ab")


def test_an_ambiguous_prefix_lists_what_it_may_mean(outputs):
    with pytest.raises(ConfigError) as caught:
        find("0123", outputs)
    assert caught.value.what == "2 runs are called 0123"
    assert caught.value.where == f"{outputs}/base/a-0123456789ab, {outputs}/base/b-0123ffffffff"
    assert find("01234", outputs).id == "0123456789ab"


def test_a_run_that_is_not_there_lists_near_ones(outputs):
    with pytest.raises(ConfigError) as caught:
        find("fedcba987653", outputs)
    assert caught.value.what == "there is no run fedcba987653"
    assert caught.value.where == f"{outputs} holds 3 runs, such as {outputs}/other/c-fedcba987654"
    with pytest.raises(ConfigError, match="there is no run 012;"):  # fewer than four digits
        find("012", outputs)


def test_no_runs_at_all(tmp_path):
    with pytest.raises(ConfigError) as caught:
        find("abcd", tmp_path / "none")
    assert caught.value.where == f"{tmp_path}/none holds 0 runs"
    assert caught.value.fix == "paths.outputs=<folder that holds the runs>"


def test_a_directory_without_a_config_says_so_and_has_no_id(outputs):
    with pytest.raises(ConfigError, match="there is no run 1111;"):
        find("1111", outputs)
    with pytest.raises(ConfigError) as caught:
        find(str(outputs / "other" / "d-111111111111"), outputs)
    assert caught.value.what == "the directory isn't a run's: it has no config.yaml"
    assert caught.value.where == str(outputs / "other" / "d-111111111111")
