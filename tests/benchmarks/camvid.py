"""`experiment=camvid_lite0` beside the plain PyTorch loop of the shared anchors: steps and validations taken in turn.

    python -m tests.benchmarks.camvid [paired steps] [folder of shared data and anchors]

One process, the same pictures, batch, crop and recipe. A step is everything from one batch to the next: drawing and
augmenting it, forward, backward, update, and on our side logging and progress. The wall time of 24 epochs follows from
the medians: 1080 steps and 6 validations.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from segexp.build import build, prepare, trainer
from segexp.callbacks.evaluation import RunInfo
from segexp.config import compose

SHARED = Path(os.environ.get("SEGEXP_SHARED", "../shared"))
STEPS, VALIDATIONS = 1080, 6


class Anchor:
    """The plain loop, cut at the point where its training begins."""

    def __init__(self, shared):
        source = (shared / "anchors" / "camvid_plain_loop.py").read_text().split("began = time.time()")[0]
        weights = shared / "data" / "weights" / "tf_efficientnet_lite0_in1k.fp16.safetensors"
        before, sys.argv = sys.argv, ["anchor", str(shared / "data" / "camvid"), str(weights)]
        self.names = {"__name__": "anchor"}
        exec(compile(source, "anchor", "exec"), self.names)
        sys.argv = before
        self.order, self.rng = iter(()), np.random.default_rng(0)

    def step(self):
        n = self.names
        if (batch := next(self.order, None)) is None:
            total = len(n["images"])
            self.order = iter(self.rng.permutation(total)[: total // 8 * 8].reshape(-1, 8))
            batch = next(self.order)
        x, y = n["augment"](n["pixels"](n["images"][batch]), torch.from_numpy(n["labels"][batch]))
        y[y >= n["CLASSES"]] = 255
        loss = F.cross_entropy(n["model"](x.contiguous(memory_format=torch.channels_last)), y, ignore_index=255)
        n["optimizer"].zero_grad()
        loss.backward()
        n["optimizer"].step()
        n["schedule"].step()

    def validate(self):
        self.names["miou"](self.names["model"], *self.names["val"])
        self.names["model"].train()


class Paired:
    """Our loader with a step of the anchor before each batch; the time of our step includes making its batch."""

    def __init__(self, loader, steps, anchor):
        self.loader, self.steps, self.anchor = loader, steps, anchor
        self.sampler = self.batch_sampler = loader.sampler
        self.ours, self.theirs = [], []

    def __len__(self):
        return self.steps

    def batches(self):
        epoch = 0
        while True:
            self.loader.sampler.set_epoch(epoch)
            yield from self.loader
            epoch += 1

    def __iter__(self):
        source = self.batches()
        for _ in range(self.steps):
            began = time.perf_counter()
            self.anchor.step()
            between = time.perf_counter()
            yield next(source)
            self.ours.append(time.perf_counter() - between)
            self.theirs.append(between - began)


def main(steps=120, shared=SHARED):
    anchor = Anchor(shared)
    anchor.names["model"].train()
    config = compose("train", ["experiment=camvid_lite0", f"paths.data={shared / 'data'}", "trainer.max_epochs=1"])
    prepare(config)
    experiment = build(config)
    with tempfile.TemporaryDirectory() as folder:
        lightning = trainer(config, RunInfo(Path(folder), config.monitor), training=True)
        experiment.datamodule.trainer = lightning
        loader = experiment.datamodule.train_dataloader()
        for index in range(len(loader.loader.dataset.split)):
            loader.loader.dataset._read(index)  # decoded pictures in memory on both sides
        paired = Paired(loader, steps, anchor)
        lightning.fit(experiment.task, train_dataloaders=paired)
        checks = []
        for turn in range(4):
            began = time.perf_counter()
            anchor.validate()
            between = time.perf_counter()
            lightning.validate(experiment.task, datamodule=experiment.datamodule, verbose=False)
            if turn:  # the first decodes the pictures
                checks.append((time.perf_counter() - between, between - began))
    ours, theirs = (statistics.median(x[5:]) for x in (paired.ours, paired.theirs))
    val_ours, val_theirs = (statistics.median(x) for x in zip(*checks, strict=True))
    ratios = [a / b for a, b in zip(paired.ours[5:], paired.theirs[5:], strict=True)]
    print(f"{torch.get_num_threads()} threads, {len(ratios)} paired steps, {len(checks)} paired validations")
    print(f"step: ours {ours * 1e3:.1f} ms, plain loop {theirs * 1e3:.1f} ms, median of ratios {statistics.median(ratios):.4f}")
    print(f"validation of 101 pictures: ours {val_ours:.2f} s, plain loop {val_theirs:.2f} s")
    walls = [STEPS * step + VALIDATIONS * check for step, check in ((ours, val_ours), (theirs, val_theirs))]
    print(f"24 epochs: ours {walls[0]:.0f} s, plain loop {walls[1]:.0f} s, ratio {walls[0] / walls[1]:.4f}")


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, Path), sys.argv[1:], strict=False)))
