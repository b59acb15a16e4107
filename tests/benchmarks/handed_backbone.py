"""Does a classifier's backbone help another task? Trained with and without it on few pictures, three seeds each.

    python -m tests.benchmarks.handed_backbone <empty folder> [task ...]

A ResNet-10-T learns which classes 512 pictures of `shapes` show; its backbone then starts a segmentation and a detector that see 48
pictures of another drawing of the set. All else is equal, and each figure is that of the whole val split.
"""

import json
import sys
from pathlib import Path
from statistics import mean, stdev

from segexp.cli.main import main as segexp
from segexp.config import compose
from segexp.runs.directory import RunDirectory

SEEDS = (0, 1, 2)
COMMON = ["backbone=resnet10t", "trainer=cpu", "logger=none", "data.seed=7"]
TASKS = {
    "semantic": ["task=semantic", "data.train=48", "trainer.max_epochs=20", "trainer.check_val_every_n_epoch=20"],
    "detection": ["model=fcos", "decoder.norm=true", "data.train=48", "trainer.max_epochs=30", "trainer.check_val_every_n_epoch=30"],
}


def trained(overrides):
    """The run of these overrides, made so."""
    assert segexp(["train", *overrides]) == 0
    config = compose("train", overrides)
    return RunDirectory.of(config, Path(config.paths.outputs))


def figure(run):
    """The monitored figure of a run that is done."""
    result = json.loads(run.result_file.read_text())
    split, _, name = result["monitor"].partition("/")
    return result[split][name]


def compared(task, classifier, outputs):
    """The figures with random weights and with the classifier's, a pair for each seed."""
    pairs = []
    for seed in SEEDS:
        own = [*COMMON, *TASKS[task], f"seed={seed}", f"paths.outputs={outputs}"]
        pairs.append((figure(trained(own)), figure(trained([*own, f"backbone.weights=run:{classifier.path}"]))))
    return pairs


def main(outputs, *tasks):
    classifier = trained([*COMMON[:-1], "task=multi_label", "trainer.max_epochs=12", f"paths.outputs={outputs}"])
    said = [f"classifier: {figure(classifier):.4f}"]
    for task in tasks or TASKS:
        pairs = compared(task, classifier, outputs)
        gains = [after - before for before, after in pairs]
        before, after = (mean(column) for column in zip(*pairs, strict=True))
        said.append(
            f"{task}: {before:.4f} -> {after:.4f}, gain {mean(gains):+.4f} (sd {stdev(gains):.4f} over {len(SEEDS)} seeds): {pairs}"
        )
    print("\n".join(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
