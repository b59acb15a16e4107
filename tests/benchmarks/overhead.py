"""What the framework costs: each step of a real training beside the same step in a bare loop, taken in turn.

    python -m tests.benchmarks.overhead [steps] [overrides]

Both train a copy of the same model on the same batches in one process; the framework runs with progress and logging on.
"""

import copy
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from segexp.build import build, prepare, trainer
from segexp.callbacks.evaluation import RunInfo
from segexp.config import compose
from segexp.task import scale, totals


class Paired:
    """A loader that takes a bare step on each batch before it hands the batch to the framework."""

    def __init__(self, batches, steps, bare):
        self.batches, self.steps, self.bare = batches, steps, bare
        self.framework, self.alone = [], []

    def __len__(self):
        return self.steps

    def __iter__(self):
        for step in range(self.steps):
            batch = self.batches[step % len(self.batches)]
            began = time.perf_counter()
            self.bare(batch)
            between = time.perf_counter()
            yield copy.copy(batch)
            ended = time.perf_counter()
            self.alone.append(between - began)
            self.framework.append(ended - between)


def main(steps=200, overrides=()):
    config = compose("train", ["decoder.width=128", "trainer.max_epochs=1", f"callbacks.progress.every={5}", *overrides])
    prepare(config)
    experiment = build(config)
    with tempfile.TemporaryDirectory() as folder:
        lightning = trainer(config, RunInfo(Path(folder), config.monitor), training=True)
        experiment.datamodule.trainer = lightning
        loader = iter(experiment.datamodule.train_dataloader())
        batches = [experiment.datamodule.on_after_batch_transfer(next(loader), 0) for _ in range(8)]
        model = copy.deepcopy(experiment.task.model).train()
        optimizer = experiment.task.make_optimizer(model)
        schedule = experiment.task.make_scheduler(optimizer, steps)

        def bare(batch):
            sums = experiment.task.loss(model(batch.images, batch.sizes, batch.targets), batch)
            loss = sum(scale(sums, totals(batch.counts), 1).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

        paired = Paired(batches, steps, bare)
        lightning.fit(experiment.task, train_dataloaders=paired)
    warm = 5
    ours, alone = paired.framework[warm:], paired.alone[warm:]
    ratios = sorted(a / b for a, b in zip(ours, alone, strict=True))
    print(f"{len(ours)} paired steps, {torch.get_num_threads()} threads")
    print(f"framework median {statistics.median(ours) * 1e3:.1f} ms, bare loop {statistics.median(alone) * 1e3:.1f} ms")
    print(f"ratio of medians {statistics.median(ours) / statistics.median(alone):.4f}, median of ratios {statistics.median(ratios):.4f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200, sys.argv[2:])
