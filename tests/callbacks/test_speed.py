"""Images per second of training and evaluation, and the peak of memory, in a run's result."""

from types import SimpleNamespace

import segexp.callbacks.speed as speed_module
from segexp.callbacks.speed import Speed


def test_validation_does_not_count_as_training(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(speed_module.time, "monotonic", lambda: now[0])
    speed, trainer, batch = Speed(), SimpleNamespace(world_size=2, training=True), SimpleNamespace(ids=("a", "b", "c"))
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


def test_nothing_measured_is_none():
    found = Speed().figures()
    assert found["train_images_per_s"] is None
    assert found["eval_images_per_s"] is None
