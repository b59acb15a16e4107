"""Images per second of training and evaluation, and the peak of memory, in a run's result."""

from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.demos.boring_classes import BoringModel

import segexp.callbacks.speed as speed_module
from segexp.callbacks.speed import Speed


def test_validation_does_not_count_as_training(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(speed_module.time, "monotonic", lambda: now[0])
    speed, trainer, batch = (
        Speed(),
        SimpleNamespace(world_size=2, state=SimpleNamespace(fn="fit"), sanity_checking=False),
        SimpleNamespace(ids=("a", "b", "c")),
    )
    now[0] = 10.0
    speed.on_train_start(trainer, None)
    for _ in range(4):
        now[0] += 2
        speed.on_train_batch_end(trainer, None, None, batch, 0)
    speed.on_validation_start(trainer, None)
    now[0] += 100
    speed.batch("val", SimpleNamespace(trainer=trainer), None, batch)
    speed.on_validation_end(trainer, None)
    now[0] += 2
    speed.on_train_end(trainer, None)
    now[0] += 1000
    found = speed.figures()
    assert found["train_images_per_s"] == 4 * 3 * 2 / 10
    assert found["eval_images_per_s"] == 3 * 2 / 100
    assert found["peak_memory_mib"] > 50


class Watch(Callback):
    """Whether the training's watch runs in each batch; sleeps in validation."""

    def __init__(self, speed):
        self.speed, self.runs = speed, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.runs.append(self.speed.training.since > 0)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.runs.append(self.speed.training.since == 0)


class Module(BoringModel):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch["x"], batch_idx)

    def validation_step(self, batch, batch_idx):
        return None

    def train_dataloader(self):
        return torch.utils.data.DataLoader([{"x": torch.zeros(32)}] * 4)

    val_dataloader = train_dataloader


class Counting(Speed):
    """Without the batches of this project."""

    def on_train_batch_end(self, *args):
        pass

    def on_validation_batch_end(self, *args):
        pass


@pytest.mark.filterwarnings("ignore")
def test_in_a_real_training_the_watch_goes_on_after_every_validation(tmp_path):
    speed = Counting()
    watch = Watch(speed)
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False, "logger": False}
    settings = {"max_epochs": 2, "val_check_interval": 2, "num_sanity_val_steps": 0, "default_root_dir": tmp_path}
    trainer = Trainer(accelerator="cpu", callbacks=[speed, watch], **settings, **quiet)
    trainer.fit(Module())
    assert watch.runs == [True] * 24  # 8 batches of training, 4 x 4 of validation
    assert speed.training.since == 0


def test_nothing_measured_is_none():
    found = Speed().figures()
    assert found["train_images_per_s"] is None
    assert found["eval_images_per_s"] is None
