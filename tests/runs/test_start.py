"""How a run starts: which checkpoint it goes on from, and what it refuses to go on with; a refusal changes nothing."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from segexp.cli.main import main
from segexp.errors import ConfigError, StoppedError, WeightsError
from tests.runs.planned import SMALL, Planned, content, copies_to, ending, folder_of, planned, read, refused, run, signals

pytestmark = pytest.mark.usefixtures("quick")


def edit(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


# ------------------------------------------------------------------ the mode


def test_a_wrong_mode_is_refused(tmp_path):
    error = refused(ConfigError, tmp_path, "resume.mode=maybe")
    assert str(error) == "resume.mode must be one of auto, must, never; resume.mode=maybe; fix: resume.mode=auto|must|never"


def test_must_without_a_checkpoint_says_why_there_is_none(tmp_path, killed):
    error = refused(WeightsError, tmp_path / "new", "resume.mode=must")
    assert error.what == "there is no checkpoint to go on from: the run has never begun"
    outputs = killed("before the first checkpoint")
    error = refused(WeightsError, outputs, "resume.mode=must")
    assert error.what == "there is no checkpoint to go on from: the run was interrupted before its first checkpoint"
    assert (error.where, error.fix) == (str(folder_of(outputs)), "resume.mode=auto")


def test_must_with_a_checkpoint_goes_on(killed, whole):
    outputs = killed()
    run(outputs, "resume.mode=must")
    assert Planned.steps == [4, 5, 6, 7]
    assert ending(folder_of(outputs)) == whole.ending


def test_never_starts_from_nothing_and_keeps_the_old_attempt(killed, whole):
    outputs = killed()
    folder = folder_of(outputs)
    before = content(folder)
    run(outputs, "resume.mode=never")
    assert Planned.steps == list(range(8))
    assert read(folder, "status.json")["attempt"] == 2
    kept = content(folder / "attempts" / "1")
    assert {name: kept[name] for name in before} == before
    assert ending(folder) == whole.ending


# ------------------------------------------------------------------ broken checkpoints


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def bit_flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def emptied(path):
    path.write_bytes(b"")


def without_record(path):
    path.with_suffix(".json").unlink()


def with_half_a_record(path):
    path.with_suffix(".json").write_text('{"step": 4, "sha')


DAMAGE = {
    truncated: r"it has \d+ bytes, written were \d+",
    bit_flipped: "its sha256 isn't the one that was written",
    emptied: r"it has 0 bytes, written were \d+",
    without_record: "it or its record is gone",
    with_half_a_record: r"its record can't be read \(SegexpError\)",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_broken_checkpoint_is_named_and_the_one_before_taken(killed, whole, capsys, damage):
    outputs = killed()
    checkpoints = folder_of(outputs) / "checkpoints"
    damage(checkpoints / "step-4.ckpt")
    run(outputs)
    assert Planned.steps == [3, 4, 5, 6, 7]
    assert ending(folder_of(outputs)) == whole.ending
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert len(lines) == 1
    assert re.fullmatch(rf"warning: step-4\.ckpt is left out: {DAMAGE[damage]}; going back to step-3", lines[0])
    assert (checkpoints / "step-4.ckpt.broken").exists()


def test_a_broken_checkpoint_is_told_of_once(killed, tmp_path, capsys):
    outputs = killed()
    emptied(folder_of(outputs) / "checkpoints" / "step-4.ckpt")
    run(outputs, plan={("train", 3): copies_to(tmp_path / "again")})
    assert "is left out" in capsys.readouterr().out
    run(tmp_path / "again")  # killed before another checkpoint was written
    assert Planned.steps == [3, 4, 5, 6, 7]
    assert "is left out" not in capsys.readouterr().out


@pytest.mark.parametrize("damage", [emptied, without_record], ids=lambda damage: damage.__name__)
def test_where_every_checkpoint_is_broken_nothing_starts_from_nothing_unasked(killed, whole, damage):
    outputs = killed()
    folder = folder_of(outputs)
    for path in (folder / "checkpoints").glob("*.ckpt"):
        damage(path)
    error = refused(WeightsError, outputs)
    assert error.what.startswith("none of the run's checkpoints is valid; step-4.ckpt: ")
    assert error.where == str(folder / "checkpoints")
    assert "resume.mode=never" in error.fix
    refused(WeightsError, outputs, "resume.mode=must")
    run(outputs, "resume.mode=never")
    assert ending(folder) == whole.ending
    assert sorted(p.name for p in (folder / "attempts" / "1" / "checkpoints").glob("*.ckpt")) == ["step-3.ckpt", "step-4.ckpt"]


def test_a_checkpoint_that_was_renamed_and_not_yet_recorded_does_not_count(killed, whole):
    outputs = killed("before the first checkpoint")
    (folder_of(outputs) / "checkpoints").mkdir()
    (folder_of(outputs) / "checkpoints" / "step-3.ckpt").write_bytes(b"whole, but killed before its record")
    run(outputs)
    assert Planned.steps == list(range(8))
    assert ending(folder_of(outputs)) == whole.ending


# ------------------------------------------------------------------ another config


def test_an_edited_config_is_refused_key_by_key(killed):
    outputs = killed()
    path = folder_of(outputs) / "config.yaml"
    text = path.read_text().replace("weight_decay: 0.01", "weight_decay: 0.5").replace("dropout: 0.2", "dropout: 0.5")
    path.write_text(text)
    error = refused(ConfigError, outputs)
    assert error.what == "the run's config differs: head.dropout 0.5 -> 0.2, optimizer.weight_decay 0.5 -> 0.01"
    assert error.where == str(folder_of(outputs))
    assert error.fix == "leave them as they were, or resume.override=[head.dropout,optimizer.weight_decay]"
    path.write_text("a: [")
    assert refused(ConfigError, outputs).what.startswith("the stored config can't be read: ")


def test_another_learning_rate_is_refused_unless_it_is_named_and_then_holds(killed, whole, tmp_path):
    outputs = killed()
    folder = folder_of(outputs)
    there = f"resume.run={folder.name[-12:]}"
    error = refused(ConfigError, outputs, there, "optimizer.lr=0.1")
    assert error.what == "the run's config differs: optimizer.lr 0.003 -> 0.1"
    assert error.fix == "leave them as they were, or resume.override=[optimizer.lr]"
    assert "head.dropout" in refused(ConfigError, outputs, there, "resume.override=[optimizer.lr]", "head.dropout=0.5").what

    copy = copies_to(tmp_path / "killed-again")
    run(outputs, there, "optimizer.lr=0.1", "resume.override=[optimizer.lr]", plan={("train", 5): copy})
    assert Planned.steps == [4, 5, 6, 7]
    assert Planned.rates == [0.1] * 4
    manifest = read(folder, "manifest.json")
    (note,) = manifest["resumed"]
    assert (note["step"], note["changed"]) == (4, "optimizer.lr 0.003 -> 0.1")
    assert manifest["changed"] == ["optimizer.lr"]
    changed = ending(folder)
    assert changed["weights"] != whole.ending["weights"]

    # killed before a checkpoint that was made with the new rate: it holds again without being allowed again
    again = tmp_path / "killed-again"
    run(again, there, "optimizer.lr=0.1")
    assert Planned.steps == [4, 5, 6, 7]
    assert Planned.rates == [0.1] * 4
    assert ending(folder_of(again)) == changed

    for original in ((), (there,)):  # it is done, and not with this config
        error = refused(ConfigError, outputs, *original)
        assert error.what == "the run is done, with another config: optimizer.lr 0.1 -> 0.003"
        assert error.where == str(folder)
        assert error.fix.startswith("run.again=true starts this one from scratch, weights.file=run:")
        assert error.fix.endswith(f"weights.file=run:{folder.name[-12:]} one from the other's weights")
    before = content(outputs)
    told = run(outputs, there, "optimizer.lr=0.1")
    assert (told.ran, told.result) == (False, read(folder, "result.json"))
    assert content(outputs) == before


def test_a_run_of_another_config_cannot_be_started_anew_in_its_folder(killed):
    outputs = killed()
    there = f"resume.run={folder_of(outputs).name[-12:]}"
    for anew in ("run.again=true", "resume.mode=never"):
        error = refused(ConfigError, outputs, there, "optimizer.lr=0.1", anew)
        assert f"the folder belongs to the run {folder_of(outputs).name[-12:]}, not to " in error.what
        assert "leave resume.run out" in error.fix


# ------------------------------------------------------------------ other versions, threads, data


def test_other_versions_are_refused_by_name_unless_they_are_allowed(killed, whole):
    outputs = killed()
    path = folder_of(outputs) / "manifest.json"
    then = json.loads(path.read_text())["versions"]
    edit(path, versions=then | {"torch": "1.0", "timm": "0.1", "wandb": "0.0"})
    error = refused(ConfigError, outputs)
    assert error.what == f"the run began with other versions: timm 0.1 -> {then['timm']}, torch 1.0 -> {then['torch']}"
    assert "resume.allow_env_change=true" in error.fix
    run(outputs, "resume.allow_env_change=true")
    assert Planned.steps == [4, 5, 6, 7]
    assert ending(folder_of(outputs)) == whole.ending
    (note,) = json.loads(path.read_text())["resumed"]
    assert note["changed"] == error.what.removeprefix("the run began with other versions: ")


def test_other_threads_are_noted_and_refused_where_bits_must_be_equal(tmp_path, killed, capsys):
    outputs = killed()
    edit(folder_of(outputs) / "manifest.json", threads=3)
    run(outputs)
    assert Planned.steps == [4, 5, 6, 7]
    out = capsys.readouterr().out
    assert "note: the run began with 3 threads of torch, and now has 1: sums differ in their last bits; run.threads=3 keeps them" in out
    assert read(folder_of(outputs), "manifest.json")["threads"] == 1

    with pytest.raises(StoppedError):
        run(tmp_path / "strict", "determinism=strict", plan={("train", 1): signals()})
    edit(folder_of(tmp_path / "strict") / "manifest.json", threads=3)
    error = refused(ConfigError, tmp_path / "strict", "determinism=strict")
    assert error.what == "the run began with 3 threads of torch, and now has 1: sums differ in their last bits"
    assert (error.where, error.fix) == ("determinism=strict", "run.threads=3")


CAMVID = [o for o in SMALL if not o.startswith(("data.height", "data.width", "data.train", "data.val", "data.test"))]


@pytest.fixture
def camvid(tmp_path):
    """A place with data of which files can change; the command of a run on them."""
    rng, root = np.random.default_rng(0), tmp_path / "camvid"
    for split, count in (("train", 4), ("val", 2)):
        for folder in (split, f"{split}annot"):
            (root / folder).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 255, (32, 48, 3), np.uint8)).save(root / split / f"{i}.png")
            Image.fromarray(rng.integers(0, 11, (32, 48), np.uint8)).save(root / f"{split}annot" / f"{i}.png")
        (root / f"{split}.txt").write_text("".join(f"{split}/{i}.png {split}annot/{i}.png\n" for i in range(count)))
    return root, [*CAMVID, "data=camvid", "data.loader.batch_size=2", f"paths.data={tmp_path}", f"paths.outputs={tmp_path}/outputs"]


def test_other_data_are_refused_unless_they_are_allowed_and_told_of_when_the_run_is_done(camvid, tmp_path, capsys):
    root, command = camvid
    with planned({("train", 2): signals()}):
        assert main(["train", *command]) == 75
    folder = folder_of(tmp_path / "outputs")
    then = read(folder, "manifest.json")["data"]
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(root / "train" / "2.png")  # of another size in bytes
    before = content(folder)
    capsys.readouterr()
    for _ in range(3):  # a refusal isn't a failure that uses up attempts
        assert main(["train", *command]) == 1
        assert "error[data]: the data aren't those that the run began with: train/2.png has changed; " in capsys.readouterr().err
    assert content(folder) == before
    with planned({}):
        assert main(["train", *command, "resume.override=[data]"]) == 0
        assert Planned.steps == [3]
    manifest = read(folder, "manifest.json")
    assert manifest["data"] != then
    assert manifest["resumed"][0]["changed"] == f"data {then[:12]} -> {manifest['data'][:12]}"

    capsys.readouterr()
    (root / "val" / "0.png").write_bytes(b"")
    edit(folder / "manifest.json", git=None)  # somebody may be at work on the code
    assert main(["train", *command]) == 0
    warnings = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert len(warnings) == 1
    said = "the data aren't those that the run began with: val/0.png has changed"  # 2.png is as in what it went on with
    assert f"warning: since then has changed: {said}" in warnings[0]
