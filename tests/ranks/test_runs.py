"""Runs of two ranks, by the command that a user types: one folder, one result, one reason where it fails."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
TINY = (
    *("data.height=32", "data.width=48", "data.train=16", "data.val=3", "data.test=1", "data.loader.batch_size=2"),
    *("backbone=timm", "backbone.name=test_resnet", "decoder.width=16", "optimizer.lr=1e-2", "trainer.max_epochs=2"),
    *("trainer=ddp", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1", "callbacks.panels.count=2"),
)
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def command(outputs, *overrides):
    return [sys.executable, "-m", "segexp.cli.main", "train", *TINY, f"paths.outputs={outputs}", *overrides]


def run(outputs, *overrides, code=0):
    """The run's folder and what was said, after a whole run."""
    done = subprocess.run(command(outputs, *overrides), cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    assert done.returncode == code, done.stdout + done.stderr
    return next(iter(Path(outputs).glob("default/*-*")), None), done


def ending(folder):
    """What a run ends in: a hash of its weights, its log, its records."""
    name = (folder / "checkpoints" / "LAST").read_text().strip()
    state = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
    weights = hashlib.sha256(b"".join(key.encode() + value.numpy().tobytes() for key, value in state.items())).hexdigest()
    return weights, (folder / "metrics.jsonl").read_text(), (folder / "per_image.jsonl").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run."""
    return run(tmp_path_factory.mktemp("whole"))[0]


@pytest.mark.slow
def test_there_is_one_folder_with_one_record_of_everything(whole):
    logged = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert sorted(row["step"] for row in logged if row["name"] == "train/loss") == list(range(8))  # 16 images / (2 x 2) x 2
    records = [json.loads(line) for line in (whole / "per_image.jsonl").read_text().splitlines()]
    assert [row["id"][-1] for row in records if row["split"] == "val"] == ["0", "1", "2"]  # each once, in the data set's order
    assert sum(row["split"] == "test" for row in records) == 1  # one rank has none
    counts = json.loads((whole / "confusion.json").read_text())["val"]["counts"]
    assert sum(map(sum, counts)) == sum(sum(row["semantic"]["labelled"]) for row in records if row["split"] == "val")
    assert json.loads((whole / "manifest.json").read_text())["ranks"] == 2
    assert json.loads((whole / "result.json").read_text())["macs"] > 0 and "sync_dist" not in (whole / "log.txt").read_text()
    assert {path.name for path in whole.parent.iterdir()} == {whole.name}
    assert json.loads((whole / "images" / "index.json").read_text())["val"]["first"] == ["val__000000.png", "val__000001.png"]


@pytest.mark.slow
def test_a_stop_of_any_rank_is_one_checkpoint_and_the_run_goes_on_as_if_nothing_had_been(whole, tmp_path):
    process = subprocess.Popen(command(tmp_path), cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not any('"step": 2' in path.read_text() for path in tmp_path.glob("default/*/metrics.jsonl")) and time.monotonic() < until:
        time.sleep(0.05)
    (second,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(second), signal.SIGUSR1)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 75, said
    assert said.splitlines()[-1].startswith("segexp: error[stopped]: stopped by SIGUSR1; step ")
    assert not Path(f"/proc/{second}").exists()
    folder, _ = run(tmp_path)
    assert ending(folder) == ending(whole)


@pytest.mark.slow
def test_what_is_wrong_on_another_rank_is_what_the_run_fails_of(tmp_path):
    folder, done = run(tmp_path, "--allow=tests", "loss._target_=tests.ranks.losses.NaNOfOneRank", code=3)
    said = done.stderr.splitlines()[-1]
    assert said.startswith("segexp: error[nonfinite]: the loss is nan (") and "at step 0" in said
    kept = folder / "nonfinite-step-0-rank-1.pt"
    assert kept.is_file() and str(kept) in said and "Traceback" not in done.stderr
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["error"]["code"]) == ("failed", "nonfinite")
