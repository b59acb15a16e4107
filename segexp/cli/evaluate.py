"""segexp evaluate <run> [overrides]: the figures of a run's model, at original resolution.

  segexp evaluate outputs/default/shapes-...-1a2b3c      a directory, its id, or the first digits of it
  segexp evaluate 1a2b3c weights.checkpoint=best         the best checkpoint instead of the last
  segexp evaluate 1a2b3c data.split=test backbone.output_stride=8
  segexp evaluate 1a2b3c data=camvid paths.data=<folder> another data set with the same classes

Written to <run>/evaluations/<overrides>-<id>/: config.yaml, result.json, per_image.jsonl, images/.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segexp.cli.arguments import split
from segexp.errors import DataError

if TYPE_CHECKING:
    from segexp.runs.directory import RunDirectory

USAGE = "segexp evaluate <run> [overrides]"


def run(arguments: Sequence[str]) -> int:
    """Evaluate a run."""
    (name,), typed, _ = split(arguments, positional=1, usage=USAGE)
    directory, overrides = named_run(name, typed), typed
    from omegaconf import OmegaConf

    from segexp.runs.recompose import recompose

    recompose(directory.config, overrides)  # whatever is wrong with the overrides is said before torch is imported
    print("loading torch and the model", flush=True)
    from segexp.build import trained, trainer
    from segexp.callbacks.evaluation import RunInfo
    from segexp.functional.files import write_atomic, write_json
    from segexp.runs.execute import logged

    whole = ["data.limit=null", "trainer.limit_val_batches=1.0"]  # of a run that trained on a part, too
    overrides = [o for o in whole if not any(given.startswith(o.partition("=")[0]) for given in overrides)] + overrides
    folder = directory.evaluations / _slug(typed)
    folder.mkdir(parents=True, exist_ok=True)
    with logged(folder / "log.txt"):
        config, experiment = trained(directory, overrides)
        _check_labels(experiment.dataset.open(config.data.split), config.data.split, name)
        write_atomic(folder / "config.yaml", OmegaConf.to_yaml(config, resolve=False))
        lightning = trainer(config, RunInfo(folder, config.monitor), training=False)
        lightning.validate(experiment.task, datamodule=experiment.datamodule, verbose=False)
    figures = experiment.task.figures["val"]
    images = sum(1 for _ in (folder / "per_image.jsonl").open())
    result = {config.data.split: figures, "images": images, "run": directory.id, "checkpoint": config.weights.checkpoint}
    write_json(folder / "result.json", result)
    width = max(map(len, figures))
    print(
        "\n".join(f"{config.data.split} {key:{width}}  {'-' if value != value else format(value, '.4f')}" for key, value in figures.items())
    )
    print(f"{images} images; written to {folder}")
    return 0


def _check_labels(opened: Any, split_name: str, run_name: str) -> None:
    """Refuse a split that has pictures alone, by its first sample."""
    if len(opened) and not set(opened[0]) - {"image", "meta"}:
        what = f"the split {split_name!r} has no labels to measure against"
        raise DataError(what, where=f"data.split={split_name}", fix=f"segexp predict {run_name} data.split={split_name}")


def named_run(name: str, overrides: Sequence[str]) -> RunDirectory:
    """The run that a user named, looked up where `paths.outputs` says."""
    from segexp.config import outputs_dir
    from segexp.runs.find import find

    return find(name, outputs_dir(overrides))


def _slug(overrides: Sequence[str]) -> str:
    """A folder name that says which overrides were given."""
    text = re.sub(r"[^a-z0-9.=-]+", "_", ",".join(overrides).lower())[:60].strip("_") or "default"
    return f"{text}-{short_hash(overrides)}"


def short_hash(parts: Sequence[str]) -> str:
    """Six hex digits that stand for these texts in any order."""
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:6]
