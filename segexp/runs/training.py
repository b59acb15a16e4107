"""The work of a run: build, train, evaluate, and what goes into `result.json`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.config import resolve
from segexp.errors import OutOfMemoryError, WeightsError
from segexp.functional.files import read_json
from segexp.functional.signals import Stop
from segexp.runs.directory import RunDirectory
from segexp.runs.manifest import update_manifest
from segexp.runs.memory import explained
from segexp.runs.start import Start, cut, usable
from segexp.weights.checkpoints import pointed, record_of, require_space

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from segexp.build import Experiment
    from segexp.callbacks.evaluation import RunInfo


def fit(config: DictConfig, directory: RunDirectory, begun: Start, stop: Stop) -> dict[str, Any]:
    """Build, train, evaluate; returns what goes into `result.json`."""
    print("loading torch and building the model", flush=True)
    from segexp.build import prepare
    from segexp.callbacks.evaluation import RunInfo
    from segexp.callbacks.speed import Speed

    prepare(config)
    stop.check(str(directory.path))
    changed = read_json(directory.manifest).get("changed", ())
    run = RunInfo(directory.path, config.monitor, stop, saved=lambda step: directory.update(step=step), changed=tuple(changed))
    began = time.monotonic()
    experiment, lightning = _trained(config, directory, begun.checkpoint, run)
    task, data = experiment.task, experiment.datamodule
    steps = lightning.global_step
    with explained(config, task):
        if task.evaluated_at != steps:  # the last epoch wasn't one with a validation
            lightning.validate(task, datamodule=data, verbose=False)
        seconds = time.monotonic() - began
        if "test" in experiment.dataset.splits:
            lightning.test(task, datamodule=data, verbose=False)
    directory.update(step=steps)
    speed = next(callback.figures() for callback in lightning.callbacks if isinstance(callback, Speed))
    return task.figures | _summary(config, directory, task) | {"steps": steps, "seconds": round(seconds, 2), "speed": speed}


def _trained(config: DictConfig, directory: RunDirectory, checkpoint: Path | None, run: RunInfo) -> tuple[Experiment, Any]:
    """Train to the end; where memory runs out and the config wants it, go on with smaller pieces of each batch."""
    from segexp.build import trainer

    size = config.data.loader.batch_size
    pieces = min(size, read_json(directory.manifest).get("pieces", 1))
    while True:
        experiment = _built(config, directory, fresh=checkpoint is None)
        experiment.datamodule.pieces = pieces
        lightning = trainer(config, run, training=True, pieces=pieces)
        try:
            with explained(config, experiment.task, pieces=pieces):
                lightning.fit(experiment.task, datamodule=experiment.datamodule, ckpt_path=checkpoint)
            return experiment, lightning
        except OutOfMemoryError as error:
            if config.trainer.on_oom != "halve" or experiment.task.evaluates or pieces >= size or _by_fractions(config):
                raise
            said = error.what
        del experiment, lightning
        pieces = min(2 * pieces, size)
        checkpoint = _cut_batches(config, directory, pieces, said)


def _by_fractions(config: DictConfig) -> bool:
    """Is an epoch cut by a fraction of its batches? Lightning would take it of the pieces, which rounds elsewhere."""
    cuts = (config.trainer.limit_train_batches, config.trainer.get("val_check_interval", 1.0))
    return any(isinstance(cut, float) and cut != 1.0 for cut in cuts)


def _built(config: DictConfig, directory: RunDirectory, *, fresh: bool) -> Experiment:
    """The parts of the experiment, noted in the manifest; refuses a disk that is too small."""
    import torch

    from segexp.build import build

    experiment = build(config, weights=fresh)
    then, parent = read_json(directory.manifest).get("parent"), experiment.parent
    if then and parent and then["sha256"] != parent["sha256"]:
        fix = f"weights.file={then['file']}, if it is still there, or run.again=true"
        raise WeightsError("the weights that the run began from have changed since", where=parent["file"], fix=fix)
    task, fingerprint, threads = experiment.task, experiment.dataset.fingerprint(), torch.get_num_threads()
    found = {"spec": task.data.to_dict(), "data": fingerprint, "frozen": experiment.frozen, "threads": threads}
    update_manifest(directory.manifest, found | ({"parent": parent} if fresh else {}))
    weights = sum(value.numel() * value.element_size() for value in task.model.state_dict().values())
    require_space(directory.path, 3 * weights)  # with two moments of the optimizer
    return experiment


def _cut_batches(config: DictConfig, directory: RunDirectory, pieces: int, said: str) -> Path | None:
    """Note that batches are cut into so many pieces from the newest checkpoint on, and free what was taken."""
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache()
    checkpoint = usable(directory, config)
    step = record_of(checkpoint)["step"] if checkpoint else 0
    print(f"{said}: going on from step {step} with batches in {pieces} pieces, accumulated", flush=True)
    cut(directory.metrics, checkpoint)
    update_manifest(directory.manifest, {"pieces": pieces, "pieces_since": step})
    return checkpoint


def _summary(config: DictConfig, directory: RunDirectory, task: Any) -> dict[str, Any]:
    """What `result.json` has beside the figures."""
    from segexp.report.charts import downsample
    from segexp.report.record import flatten, read_run

    best = pointed(directory.checkpoints, "best")
    return {
        "monitor": config.monitor,
        "best": {key: value for key, value in record_of(best).items() if key in ("step", "score")} if best else None,
        "parameters": sum(p.numel() for p in task.model.parameters()),
        "config": {key: value for key, value in flatten(resolve(config)).items() if not key.startswith(("paths.", "logger."))},
        "curves": {name: downsample(points, 64) for name, points in read_run(directory.path).series.items()},
    }
