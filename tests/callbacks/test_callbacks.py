"""Checkpoints, pointers and the metrics file, without a trainer."""

import hashlib
import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from segexp.callbacks.checkpoint import Checkpoint, PlainCheckpointIO, _common
from segexp.callbacks.evaluation import RunInfo
from segexp.callbacks.metrics_file import MetricsFile
from segexp.callbacks.position import Position
from segexp.errors import NonFiniteLossError
from segexp.functional.orders import EvaluationOrder
from segexp.weights.checkpoints import pointed


def save(callback, step, score, weight=0.0):
    """Save a state as a trainer would."""
    split, _, name = (callback.run.monitor or "val/x").partition("/")
    task = SimpleNamespace(model=nn.Linear(2, 2), figures={split: {name: score}}, run_state={})
    nn.init.constant_(task.model.weight, weight)

    def write(path):
        PlainCheckpointIO().save_checkpoint({"state_dict": task.model.state_dict(), "run": task.run_state}, path)

    at = Position(step, 0, step, step, 1, last=True, due=True, pending=False, stop=False, over=False)
    callback.save(SimpleNamespace(save_checkpoint=write, is_global_zero=True, callback_metrics={}), task, at)


@pytest.mark.parametrize(("monitor", "best"), [("val/miou", "step-2"), ("val/loss", "step-1")])
def test_the_latest_and_the_best_stay_whatever_the_figure_does(tmp_path, monitor, best):
    callback = Checkpoint(RunInfo(tmp_path, monitor), keep=2)
    for step, score in ((1, 0.3), (2, 0.9), (3, 0.5), (4, 0.6), (5, 0.4)):
        save(callback, step, score)
    folder = tmp_path / "checkpoints"
    assert {p.stem for p in folder.glob("*.ckpt")} == {p.stem for p in folder.glob("*.json")} == {best, "step-4", "step-5"}
    assert pointed(folder, "last").name == "step-5.ckpt"
    assert pointed(folder, "best").stem == best
    record = json.loads((folder / "step-5.json").read_text())
    assert record["sha256"] == hashlib.sha256((folder / "step-5.ckpt").read_bytes()).hexdigest()
    assert (record["step"], record["score"]) == (5, 0.4)
    assert PlainCheckpointIO().load_checkpoint(folder / "step-5.ckpt")["run"]["position"]["step"] == 5


@pytest.mark.parametrize("limit", [1.0, 0.5, 2, 100])
def test_ranks_agree_at_the_batches_of_an_evaluation_that_all_of_them_take(limit):
    for images in range(8, 17):
        orders = [EvaluationOrder(images, 1, rank, 4) for rank in range(4)]
        taken = [int(len(order) * limit) if isinstance(limit, float) else min(len(order), limit) for order in orders]  # by Lightning
        assert {_common(SimpleNamespace(batch_sampler=order), limit) for order in orders} == {min(taken)}


def test_at_least_two_are_kept(tmp_path):
    callback = Checkpoint(RunInfo(tmp_path, None), keep=1)
    for step in (1, 2, 3):
        save(callback, step, None)
    assert {p.stem for p in (tmp_path / "checkpoints").glob("*.ckpt")} == {"step-2", "step-3"}


def test_without_a_monitor_there_is_no_best(tmp_path):
    save(Checkpoint(RunInfo(tmp_path, None)), 1, None)
    assert pointed(tmp_path / "checkpoints", "best") is None


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    callback = Checkpoint(RunInfo(tmp_path, "val/miou"))
    save(callback, 1, 0.5)
    with pytest.raises(
        NonFiniteLossError, match=r"the weight weight isn't finite after step 2; nothing is saved; .*fix: lower the learning rate"
    ):
        save(callback, 2, 0.6, weight=float("nan"))
    assert pointed(tmp_path / "checkpoints", "last").stem == "step-1"
    assert not (tmp_path / "checkpoints" / "step-2.ckpt").exists()


def test_metrics_are_lines_and_nan_is_null(tmp_path):
    MetricsFile(tmp_path / "m.jsonl").log_metrics({"a": torch.tensor(0.5), "b": float("nan"), "epoch": 2.0}, step=7)
    lines = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert lines == [{"step": 7, "epoch": 2, "name": "a", "value": 0.5}, {"step": 7, "epoch": 2, "name": "b", "value": None}]
