"""Rows 1-14 of the fault table: what is wrong with the command, its config or its place is said before anything is trained.

Each at the command's level, with a run of another seed beside it that must stay as it is.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections import namedtuple
from contextlib import contextmanager
from pathlib import Path

import pytest

from segexp.runs.lock import describe
from tests.faults.harness import TINY, command, environment, expect, line, untouched
from tests.runs.planned import SMALL, folder_of, read

BESIDE = "seed=1"  # what fails, beside a run of seed 0
DEEPLAB = [*TINY, "model=deeplabv3", "decoder.width=8", "trainer.max_epochs=1"]

# row, what is typed, kind, texts of the last line
REFUSED = {
    "01 misspelt group": (["model=deeplbv3"], "config", ["model=deeplbv3", "did you mean model=deeplabv3 (or deeplabv1, deeplabv2)"]),
    "01 misspelt name of a group": (["modle=deeplabv3"], "config", ["no group or key modle", "did you mean model"]),
    "02 unknown key": (["trainer.max_epoch=3"], "config", ["trainer.max_epoch=3", "did you mean trainer.max_epochs"]),
    "02 unknown key of a stage": (["head.dropuot=0.1"], "config", ["no key head.dropuot", "did you mean head.dropout"]),
    "03 monitor": (["monitor=val/miuo"], "config", ["no metric gives this figure", "monitor=val/miuo", "monitor=val/miou"]),
    "03 monitor of another task": (["monitor=val/pq"], "config", ["no metric gives this figure", "monitor=val/loss|val/miou"]),
    "04 classes typed": (["head.num_classes=5"], "config", ["no key head.num_classes", "head.num_classes=5"]),
    "04 weights of classes": (["loss.class_weights=[1,2,3]"], "config", ["loss.class_weights", "8"]),
    "07 no training samples": (["data.train=0"], "config", ["data.train=0"]),
    "07 no batch": (["data.train=1"], "config", ["1 training samples don't fill a batch of 2", "data.loader.batch_size=1"]),
    "07 no validation samples": (["data.val=0"], "config", ["data.val=0"]),
}  # fmt: skip


@pytest.mark.parametrize("row", REFUSED)
def test_refused(row, neighbour, quick):
    typed, kind, texts = REFUSED[row]
    with untouched(neighbour, new="no batch" in row):
        said = command("train", *SMALL, BESIDE, f"paths.outputs={neighbour}", *typed)
    expect(said, kind, *texts)
    assert "epoch 1" not in said.out


def test_01_misspelt_names_take_no_torch(tmp_path):
    program = "import sys; from segexp.cli.main import main; code = main(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(code)"
    arguments = [line()[0], "-c", program, "train", "model=deeplbv3", f"paths.outputs={tmp_path}"]
    done = subprocess.run(arguments, env=environment(), timeout=60, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "model=deeplabv3" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_04_weights_of_other_classes(neighbour, quick):
    run = folder_of(neighbour)
    other = [*SMALL, BESIDE, "data.classes=[sky,road,car]", f"weights.file=run:{run.name.rpartition('-')[2]}", f"paths.outputs={neighbour}"]
    with untouched(neighbour, new=True):
        said = command("train", *other)
    expect(said, "weights", "head.classify", "weights.skip_head=true")
    assert "epoch 1" not in said.out
    assert command("train", *other, "weights.skip_head=true", "trainer.max_epochs=1").code == 0


@pytest.mark.parametrize("size", [(33, 47), (31, 65)], ids=str)
def test_05_sizes_that_no_stride_divides(tmp_path, quick, size):
    sizes = [f"data.height={size[0]}", f"data.width={size[1]}", f"augmentation.crop=[{size[0] - 2},{size[1] - 3}]"]
    said = command("train", *TINY, *sizes, "trainer.max_epochs=1", f"paths.outputs={tmp_path}")
    assert said.code == 0, said.err
    assert read(folder_of(tmp_path), "result.json")["val"]["miou"] is not None


ONES = {"batches of one": ["data.train=3"], "accumulated": ["data.train=4", "trainer.accumulate_grad_batches=2"]}


@pytest.mark.parametrize("case", ONES)
def test_06_one_image_and_a_norm_of_an_image_pool(tmp_path, quick, case):
    said = command("train", *DEEPLAB, "data.loader.batch_size=1", *ONES[case], f"paths.outputs={tmp_path}")
    assert said.code == 0, said.err
    assert (folder_of(tmp_path) / "log.txt").read_text().count("the BatchNorm of a pooled map uses its running statistics") == 1


@contextmanager
def nobody():
    """Act as a user who isn't root; of this process, which has read all modules that it needs."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_08_a_place_without_the_right_to_write(quick, tmp_path):
    place = Path(tempfile.mkdtemp())  # pytest's own nobody else may enter
    (place / "kept.txt").write_text("kept")
    place.chmod(0o555)
    typed = [*SMALL, f"paths.outputs={place}"]
    try:
        with nobody(), untouched(place):
            said = command("train", *typed)
        expect(said, "config", "runs can't be written: Permission denied", f"paths.outputs={place}")
        expect(command("train", *SMALL, f"paths.outputs={place}/typo/deep"), "config", "the folder above it doesn't exist")
        assert "attempt" not in said.out
    finally:
        shutil.rmtree(place)


def test_09_a_disk_that_is_too_small(neighbour, quick, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("segexp.weights.checkpoints.shutil.disk_usage", lambda _: usage(10**6, 10**6 - 2000, 2000))
    with untouched(neighbour, new=True):
        said = command("train", *SMALL, BESIDE, f"paths.outputs={neighbour}")
    expect(said, "checkpoint", "three checkpoints need", "are free", str(neighbour), "paths.outputs=")
    assert "epoch 1" not in said.out
    assert not list(neighbour.glob("*/*-s1-*/checkpoints/*.ckpt"))


def test_10_a_folder_of_another_run(neighbour, quick):
    run = folder_of(neighbour)
    with untouched(neighbour):
        same = command("train", *SMALL, f"paths.outputs={neighbour}")
        other = command("train", *SMALL, f"paths.outputs={neighbour}", f"resume.run={run.name}", "optimizer.lr=0.5")
    assert (same.code, f"{run} is done" in same.out) == (0, True)
    expect(other, "config", "the run is done, with another config: optimizer.lr ", "-> 0.5", str(run), "run.again=true")
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("\nseed: 0", "\nseed: 5"))
    with untouched(neighbour):  # somebody has put another run where this one belongs
        expect(command("train", *SMALL, f"paths.outputs={neighbour}"), "config", "seed 5 -> 0", str(run))


def test_11_starts_at_once_have_one_winner(bench, monkeypatch):
    """`python -m tests.soak lock` has 20 rounds of 20 starters."""
    from tests.soak import lock

    monkeypatch.setattr(lock, "STARTERS", 4)
    assert lock.one(bench, 0) == {"winners": 1, "held": 3, "problems": []}


def test_12_the_lock_of_a_dead_process(killed, quick):
    gone = subprocess.Popen(["true"])
    gone.wait()
    outputs = killed()
    lock = folder_of(outputs) / "lock"
    who = json.loads(lock.read_text()) | {"pid": gone.pid}
    lock.write_text(json.dumps(who))
    said = command("train", *SMALL, f"paths.outputs={outputs}")
    assert said.code == 0, said.err
    assert f"taking over from {describe(who)}, which is gone" in said.out
    assert read(folder_of(outputs), "status.json")["state"] == "done"


def sweep(outputs, *overrides):
    """A sweep in a process of its own whose jobs take no time."""
    from tests.sweeps.conftest import command as stubbed

    given = ["--allow=tests", "train", "-m", "loss._target_=tests.sweeps.losses.Faulty", "seed=0,1", f"paths.outputs={outputs}", *overrides]
    return subprocess.Popen(
        stubbed(*given, stub=True), env=environment(), cwd=outputs.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_13_one_sweep_twice_in_one_second_and_another(tmp_path):
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    both = [sweep(outputs, "+loss.fault=stop") for _ in range(2)]
    first = next(iter_ended(both))
    _, err = first.communicate(timeout=30)
    winner = both[1 - both.index(first)]
    assert first.returncode == 4
    assert err.splitlines()[-1].startswith(f"segexp: error[held]: process {winner.pid} on ")
    other = sweep(outputs, "optimizer.lr=0.5")
    assert other.wait(timeout=60) == 0
    (tmp_path / "go-on").touch()
    assert winner.wait(timeout=60) == 0
    for child in (winner, other):
        child.communicate(timeout=10)
    assert len(list(outputs.glob("*/sweeps/*/sweep.json"))) == 2
    states = [json.loads(path.read_text()) for path in outputs.glob("*/*/status.json")]
    assert [(state["state"], state["failures"]) for state in states] == [("done", 0)] * 4
    assert not list(outputs.rglob("*.tmp.*"))


def iter_ended(children):
    """Each as it ends."""
    until, left = time.monotonic() + 60, list(children)
    while left:
        assert time.monotonic() < until
        for child in [child for child in left if child.poll() is not None]:
            left.remove(child)
            yield child
        time.sleep(0.02)


@pytest.mark.parametrize("kind", ["a library", "two libraries"])
def test_14_other_versions(killed, quick, kind):
    outputs = killed()
    folder = folder_of(outputs)
    manifest = read(folder, "manifest.json")
    manifest["versions"] |= {"timm": "0.0.1"} | ({"torch": "1.0"} if kind == "two libraries" else {})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    typed = [*SMALL, f"paths.outputs={outputs}"]
    with untouched(outputs):
        said = command("train", *typed)
    expect(said, "config", "the run began with other versions", "timm 0.0.1 -> ", "resume.allow_env_change=true")
    assert ("torch 1.0 -> " in said.last) == (kind == "two libraries")
    assert command("train", *typed, "resume.allow_env_change=true").code == 0
    assert "timm" in read(folder, "manifest.json")["changed"]
