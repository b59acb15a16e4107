"""Checkpoints, pointers and the metrics file, without a trainer."""

import hashlib
import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from segexp.callbacks.checkpoint import Checkpoint, pointed
from segexp.callbacks.evaluation import RunInfo
from segexp.callbacks.metrics_file import MetricsFile


@pytest.mark.parametrize(("monitor", "best"), [("val/miou", "step-2"), ("val/loss", "step-1")])
def test_the_latest_and_the_best_stay(tmp_path, monitor, best):
    callback = Checkpoint(RunInfo(tmp_path, monitor), keep=2)
    task = SimpleNamespace(model=nn.Linear(2, 2), current_epoch=0)
    for step, score in ((1, 0.3), (2, 0.9), (3, 0.5), (4, 0.6), (5, 0.4)):
        callback.save(task, step, score)
    folder = tmp_path / "checkpoints"
    assert {p.stem for p in folder.glob("*.ckpt")} == {p.stem for p in folder.glob("*.json")} == {best, "step-4", "step-5"}
    assert pointed(folder, "last").name == "step-5.ckpt"
    assert pointed(folder, "best").stem == best
    record = json.loads((folder / "step-5.json").read_text())
    assert record["sha256"] == hashlib.sha256((folder / "step-5.ckpt").read_bytes()).hexdigest()
    assert torch.load(folder / "step-5.ckpt", weights_only=True)["step"] == 5


def test_without_a_monitor_there_is_no_best(tmp_path):
    Checkpoint(RunInfo(tmp_path, None)).save(SimpleNamespace(model=nn.Linear(1, 1), current_epoch=0), 1, None)
    assert pointed(tmp_path / "checkpoints", "best") is None


def test_metrics_are_lines_and_nan_is_null(tmp_path):
    MetricsFile(tmp_path / "m.jsonl").log_metrics({"a": torch.tensor(0.5), "b": float("nan"), "epoch": 2.0}, step=7)
    lines = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert lines == [{"step": 7, "epoch": 2, "name": "a", "value": 0.5}, {"step": 7, "epoch": 2, "name": "b", "value": None}]
