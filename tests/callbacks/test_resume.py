"""From whichever checkpoint a training goes on, it ends in the weights, the log and the figures of the undisturbed one."""

import json
import os
import shutil

import pytest
import torch

from segexp.build import build, trainer
from segexp.callbacks.evaluation import RunInfo
from segexp.config import compose
from segexp.weights.checkpoints import listed, record_of
from tests.test_task import SMALL

BASE = [
    *SMALL,
    "data.train=12",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "callbacks.panels.count=0",
    "callbacks.checkpoint.every_n_train_steps=1",
    "callbacks.checkpoint.keep=1000",
    "optimizer.lr=1e-2",
]
EMA = "+callbacks.ema={_target_: pytorch_lightning.callbacks.EMAWeightAveraging, decay: 0.5, update_every_n_steps: 1}"
STOP = "+callbacks.stop={_target_: pytorch_lightning.callbacks.EarlyStopping, monitor: val/miou, patience: 1, mode: max, min_delta: 2}"
VARIANTS = {
    "plain": [],
    "workers": ["data.loader.workers=2"],
    "accumulated, the last window short": ["trainer.accumulate_grad_batches=4"],
    "validated every second epoch": ["trainer.check_val_every_n_epoch=2", "trainer.max_epochs=3"],
    "validated within epochs": ["+trainer.val_check_interval=2"],
    "steps instead of epochs": ["trainer.max_epochs=-1", "trainer.max_steps=9"],
    "averaged weights": [EMA],
    "averaged weights, steps": [EMA, "trainer.max_epochs=-1", "trainer.max_steps=9"],
    "stopped early": [STOP, "trainer.max_epochs=6"],
    "clipped, logged every third step": ["trainer.gradient_clip_val=0.1", "trainer.log_every_n_steps=3"],
    "sgd with momentum": ["optimizer=sgd"],
}


def fit(folder, config, checkpoint=None):
    experiment = build(config)
    lightning = trainer(config, RunInfo(folder, config.monitor), training=True)
    lightning.fit(experiment.task, datamodule=experiment.datamodule, ckpt_path=checkpoint)
    lightning.validate(experiment.task, datamodule=experiment.datamodule, verbose=False)
    return experiment.task


def went_on(source, folder, config, checkpoint):
    """As the run's start does it: the log is cut back, the files that go on are there."""
    folder.mkdir()
    shutil.copytree(source / "checkpoints", folder / "checkpoints")
    shutil.copy(source / "metrics.jsonl", folder)
    os.truncate(folder / "metrics.jsonl", record_of(checkpoint)["files"]["metrics.jsonl"])
    return fit(folder, config, folder / "checkpoints" / checkpoint.name)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_checkpoint_leads_to_the_same_end(tmp_path, monkeypatch, name):
    monkeypatch.setattr("segexp.weights.checkpoints._prune", lambda folder, keep: None)  # a pending one gives way to the whole one
    config, whole = compose("train", [*BASE, *VARIANTS[name]]), tmp_path / "whole"
    whole.mkdir()
    task = fit(whole, config)
    log = (whole / "metrics.jsonl").read_text()
    points = listed(whole / "checkpoints")
    assert any(record_of(p)["pending"] for p in points)
    assert {record_of(p)["step"] for p in points} >= set(range(1, 4))
    pending = next(p for p in points if record_of(p)["pending"])
    for checkpoint in points if name == "plain" else {points[0], points[len(points) // 2], points[-1], pending}:
        other = went_on(whole, tmp_path / checkpoint.stem, config, checkpoint)
        for key, value in task.model.state_dict().items():
            assert torch.equal(value, other.model.state_dict()[key]), (checkpoint.name, key)
        assert (tmp_path / checkpoint.stem / "metrics.jsonl").read_text() == log, checkpoint.name
        assert other.figures == task.figures


def test_the_log_has_each_step_once(tmp_path):
    fit(tmp_path, compose("train", BASE))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in lines if r["name"] == "train/loss"] == list(range(12))
