"""What it costs that nothing is lost: saving, going on, and stopping, with DeepLabv3+.

    python -m tests.benchmarks.checkpoint [cost resume stop]

`cost`: ResNet-50 and AdamW; seconds of a save and of its parts, and the share of the time of steps that a save a minute takes.
`resume`: the same; seconds from launch to the end of the first step after going on, beyond those of importing the libraries,
at three places of an epoch. `stop`: ResNet-18 and SGD, a checkpoint below 100 MB; seconds from SIGTERM to the record of the
checkpoint and to the end of the process, less one step, and the steps that are lost.
"""

import itertools
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from pytorch_lightning import Callback

from segexp.build import build, prepare, trainer
from segexp.callbacks import checkpoint
from segexp.callbacks.checkpoint import Checkpoint
from segexp.callbacks.evaluation import RunInfo
from segexp.config import compose
from segexp.errors import StoppedError
from segexp.functional import tensors
from segexp.sweeps.forks import ForkServer
from segexp.weights import checkpoints
from tests.soak.stop import not_saved
from tests.soak.trial import Trial

SHAPE = ("data.height=96", "data.width=128", "data.val=2", "data.test=2", "callbacks.panels.count=0", "trainer.log_every_n_steps=1")
LARGE = (*SHAPE, "model=deeplabv3plus", "backbone=resnet50", "optimizer=adamw", "trainer.accelerator=cpu")
SMALL = (*SHAPE, "model=deeplabv3plus", "backbone=resnet18", "optimizer=sgd", "trainer.accelerator=cpu")
WHOLE = "a save"
PARTS = {
    WHOLE: (Checkpoint, "save"),
    "looking for weights that aren't finite": (checkpoint, "_require_finite"),
    "torch.save with its hash": (checkpoints, "_save"),
    "fsync: log, state, record, pointers, folder": (os, "fsync"),
    "reading back with its hash": (checkpoints, "sha256"),
    "opening it safely": (tensors, "load_plain"),
}
FIRST = """
import os, signal, sys, time
import segexp.task
from segexp.cli.main import main

steps, last = [], int(sys.argv.pop(1))

def note(self, *_):
    if not steps:
        print("first", time.time(), flush=True)
    steps.append(self.trainer.global_step)
    if steps[-1] == last:
        os.kill(os.getpid(), signal.SIGTERM)

segexp.task.Task.on_train_batch_end = note
sys.exit(main(sys.argv[1:]))
"""


class Timed:
    """The seconds of `PARTS` in each save while it is entered; those outside a save don't count."""

    def __init__(self):
        self.saves, self.now = [], {}

    def __enter__(self):
        self.before = {name: getattr(*place) for name, place in PARTS.items()}
        for name, place in PARTS.items():
            setattr(*place, self.timed(name, self.before[name]))
        return self

    def __exit__(self, *_):
        for name, place in PARTS.items():
            setattr(*place, self.before[name])

    def timed(self, name, function):
        def call(*args, **kwargs):
            if name == WHOLE:
                self.now = dict.fromkeys(PARTS, 0.0)
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.now[name] = self.now.get(name, 0.0) + time.perf_counter() - began
                if name == WHOLE:
                    self.saves.append(self.now)

        return call


class Clock(Callback):
    """The time at the start of each step, after whatever was saved there."""

    def __init__(self):
        self.starts = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.starts.append(time.perf_counter())


def trained(overrides, steps, batch):
    """Train for an epoch; seconds between the starts of steps, of saves and their parts, and bytes of a checkpoint."""
    clock = Clock()
    size = [f"data.train={steps * batch}", f"data.loader.batch_size={batch}", "trainer.max_epochs=1"]
    with tempfile.TemporaryDirectory() as folder:
        config = compose("train", [*overrides, *size, f"paths.outputs={folder}"])
        prepare(config)
        experiment = build(config)
        lightning = trainer(config, RunInfo(Path(folder), config.monitor), training=True)
        lightning.callbacks.append(clock)
        with Timed() as timed:
            lightning.fit(experiment.task, datamodule=experiment.datamodule)
        weighs = max(path.stat().st_size for path in Path(folder, "checkpoints").glob("*.ckpt"))
    return [b - a for a, b in itertools.pairwise(clock.starts)], [save for save in timed.saves if save["torch.save with its hash"]], weighs


def cost(saves=5):
    steps, _, _ = trained(LARGE, 10, 8)
    _, found, size = trained([*LARGE, "callbacks.checkpoint.every_n_train_steps=1"], saves, 2)
    print(f"DeepLabv3+ ResNet-50, AdamW: {size / 1e6:.1f} MB a checkpoint")
    show("a step, 8 crops of 96x128", steps[2:])
    for name in PARTS:
        show(name if name == WHOLE else f"  {name}", [save[name] for save in found])
    share = statistics.median(save[WHOLE] for save in found) / 60
    print(f"one save in 60 s of steps: {100 * share:.2f} %")


def resume(rounds=3, places=(1, 20, 39)):
    """Runs of an epoch of 40 steps, each of which is stopped at the places and goes on from there."""
    found = {place: [] for place in places}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            overrides = [*LARGE, "data.train=80", "data.loader.batch_size=2", "trainer.max_epochs=2", f"seed={number}"]
            for place, stop_at in zip((None, *places), (*places, 40), strict=True):
                imports, _ = seconds([sys.executable, "-c", "import torch, torchvision, pytorch_lightning"], folder)
                began = time.time()
                _, text = seconds([sys.executable, "-c", FIRST, str(stop_at), "train", *overrides], folder)
                if place is not None:
                    assert f"going on from step-{place}" in text, text
                    found[place].append(float(re.search(r"first ([\d.]+)", text)[1]) - began - imports)
    for place, values in found.items():
        show(f"first step after step {place} of 40, beyond imports", values)


def stop(stops=10):
    """One run that is stopped again and again."""
    rng, saved, ended = Random(0), [], []
    with tempfile.TemporaryDirectory() as scratch, ForkServer(output=Path(scratch, "server.txt")) as server:
        trial = Trial(server, Path(scratch, "trial"), [*SMALL, "data.train=4000", "data.loader.batch_size=4", "trainer.max_epochs=1"])
        for _ in range(stops):
            child = trial.start()
            step = watched(trial, child, 5)
            time.sleep(rng.random() * step)
            before = records(trial)
            began = time.perf_counter()
            child.kill(signal.SIGTERM)
            while records(trial) == before and child.poll() is None:
                time.sleep(0.002)
            saved.append(time.perf_counter() - began - step)
            assert child.wait(60) == StoppedError.exit_code, trial.said()
            ended.append(time.perf_counter() - began - step)
            assert not_saved(trial) == []
        size = max(path.stat().st_size for path in trial.run.checkpoints.glob("*.ckpt"))
    print(
        f"DeepLabv3+ ResNet-18, SGD: {size / 1e6:.1f} MB a checkpoint, a step of {step:.2f} s; exit 75 and no step lost: {stops} of {stops}"
    )
    show("SIGTERM to the checkpoint, less a step", saved)
    show("SIGTERM to the end, less a step", ended)


def watched(trial, child, steps):
    """Wait for so many more steps; the median seconds of one, the first two left out."""
    times, now = [], trial.step()
    while len(times) <= steps + 2:
        assert child.poll() is None, trial.said()
        if (step := trial.step()) > now:
            times.append(time.perf_counter())
            now = step
        time.sleep(0.002)
    return statistics.median(b - a for a, b in itertools.pairwise(times[2:]))


def records(trial):
    return {path.name for path in trial.run.checkpoints.glob("step-*.json")}


def seconds(command, folder):
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    return time.perf_counter() - began, done.stdout + done.stderr


def show(name, values):
    print(
        f"{name:50} median {statistics.median(values):6.3f} s  (min {min(values):.3f}, max {max(values):.3f}, n={len(values)})", flush=True
    )


if __name__ == "__main__":
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as segexp sets it
    for name in sys.argv[1:] or ("cost", "resume", "stop"):
        {"cost": cost, "resume": resume, "stop": stop}[name]()
