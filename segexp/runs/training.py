"""The work of a run: build, train, evaluate, and what goes into `result.json`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.data.bad_samples import merge
from segexp.errors import OutOfMemoryError, PrunedError, WeightsError
from segexp.functional.files import read_json
from segexp.functional.signals import Stop
from segexp.ledger.data_files import write_table
from segexp.runs.directory import RunDirectory
from segexp.runs.manifest import update_manifest
from segexp.runs.memory import explained
from segexp.runs.start import Start, cut, usable
from segexp.weights.checkpoints import pointed, record_of, require_space

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from segexp.build import Experiment
    from segexp.callbacks.evaluation import RunInfo
    from segexp.callbacks.pruning import Pruning
    from segexp.ranks.company import Company


def fit(
    config: DictConfig,
    directory: RunDirectory,
    begun: Start,
    stop: Stop,
    search: Mapping[str, Any] | None = None,
    company: Company | None = None,
) -> dict[str, Any]:
    """Build, train, evaluate; returns what goes into `result.json`.

    Args:
        config, directory, begun, stop: the run, and how it starts.
        search: the trial that may be pruned; then `pruned` is the step at which it was.
        company: the other ranks; None on one of them, which writes nothing and returns nothing.
    """
    print("loading torch and building the model", flush=True)
    from segexp.build import prepare
    from segexp.callbacks.speed import Speed

    prepare(config)
    stop.check(str(directory.path))
    run = _told(config, directory, stop, first=company is not None)
    began = time.monotonic()
    experiment, lightning, pruned = _trained(config, directory, begun.checkpoint, run, search, company)
    task, data = experiment.task, experiment.datamodule
    steps = lightning.global_step
    with explained(config, task):
        if task.evaluated_at != steps:  # the last epoch wasn't one with a validation
            lightning.validate(task, datamodule=data, verbose=False)
        seconds = time.monotonic() - began
        if "test" in experiment.dataset.splits and not pruned:
            lightning.test(task, datamodule=data, verbose=False)
    if company is None:
        return {}
    directory.update(step=steps)
    speed = next(callback.figures() for callback in lightning.callbacks if isinstance(callback, Speed))
    ended = {"pruned": steps, "search": {key: search[key] for key in ("study", "trial")}} if search and pruned else {}
    return task.figures | _summary(config, directory, task) | {"steps": steps, "seconds": round(seconds, 2), "speed": speed} | ended


def _told(config: DictConfig, directory: RunDirectory, stop: Stop, *, first: bool) -> RunInfo:
    """What callbacks know of the run; those of another rank than the first tell it nothing."""
    from segexp.callbacks.evaluation import RunInfo

    run = RunInfo(directory.path, config.monitor, stop, changed=tuple(read_json(directory.manifest).get("changed", ())))
    if not first:
        return run
    planned = partial(update_manifest, directory.manifest)
    return replace(run, saved=lambda step: directory.update(step=step), planned=lambda steps: planned({"steps": steps}))


def _trained(
    config: DictConfig,
    directory: RunDirectory,
    checkpoint: Path | None,
    run: RunInfo,
    search: Mapping[str, Any] | None,
    company: Company | None,
) -> tuple[Experiment, Any, bool]:
    """Train to the end, or to where the run is pruned (True).

    Where memory runs out and the config wants it, it goes on with smaller pieces of each batch.
    """
    from segexp.build import trainer

    size = config.data.loader.batch_size
    pieces = min(size, read_json(directory.manifest).get("pieces", 1))
    while True:
        experiment = _built(config, directory, fresh=checkpoint is None, first=company is not None)
        experiment.datamodule.pieces = pieces
        lightning: Any = trainer(config, run, training=True, pieces=pieces)
        lightning.callbacks += _pruning(run, search, first=company is not None)  # last: behind Checkpoint
        if company is not None:
            company.gather(partial(run.stop.check, str(directory.path)) if run.stop else lambda: None)
        try:
            with explained(config, experiment.task, pieces=pieces):
                lightning.fit(experiment.task, datamodule=experiment.datamodule, ckpt_path=checkpoint)
            return experiment, lightning, False
        except PrunedError:
            return experiment, lightning, True
        except OutOfMemoryError as error:
            if config.trainer.on_oom != "halve" or experiment.task.evaluates or pieces >= size or _by_fractions(config):
                raise
            said = error.what
        del experiment, lightning
        pieces = min(2 * pieces, size)
        checkpoint = _cut_batches(config, directory, pieces, said)


def _pruning(run: RunInfo, search: Mapping[str, Any] | None, *, first: bool) -> list[Pruning]:
    if search is None:
        return []
    from segexp.callbacks.pruning import Pruning
    from segexp.search.study import reporter

    return [Pruning(run, search["metric"], reporter(search) if first else None)]


def _by_fractions(config: DictConfig) -> bool:
    """Is an epoch cut by a fraction of its batches? Lightning would take it of the pieces, which rounds elsewhere."""
    cuts = (config.trainer.limit_train_batches, config.trainer.get("val_check_interval", 1.0))
    return any(isinstance(cut, float) and cut != 1.0 for cut in cuts)


def _built(config: DictConfig, directory: RunDirectory, *, fresh: bool, first: bool) -> Experiment:
    """The parts of the experiment, noted in the manifest by the first rank; refuses a disk that is too small."""
    import torch

    from segexp.build import build
    from segexp.ranks.layout import ranks_of

    experiment = build(config, weights=fresh, vetted=True)  # by `execute`, before it made the run
    then, parent = read_json(directory.manifest).get("parent"), experiment.parent
    if then and parent and then["sha256"] != parent["sha256"]:
        fix = f"weights.file={then['file']}, if it is still there, or run.again=true"
        raise WeightsError("the weights that the run began from have changed since", where=parent["file"], fix=fix)
    if not first:
        return experiment
    task, fingerprint, threads = experiment.task, experiment.dataset.fingerprint(), torch.get_num_threads()
    found = {"spec": task.data.to_dict(), "data": fingerprint, "frozen": experiment.frozen, "threads": threads}
    found["ranks"] = math.prod(ranks_of(config))
    update_manifest(directory.manifest, found | ({"parent": parent} if fresh else {}))
    if fresh or "data" in read_json(directory.manifest).get("changed", ()):
        write_table(directory.path, experiment.dataset, config.data.get("root"), Path(config.paths.outputs))
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
    from segexp.report.record import read_run, settings

    best, record = pointed(directory.checkpoints, "best"), read_run(directory.path)
    return {
        "monitor": config.monitor,
        "best": {key: value for key, value in record_of(best).items() if key in ("step", "score")} if best else None,
        "parameters": sum(p.numel() for p in task.model.parameters()),
        "macs": _macs(config, task),
        "bad_samples": merge(directory.path),
        "config": settings(record.config),
        "curves": {name: downsample(points, 64) for name, points in record.series.items()},
    }


def _macs(config: DictConfig, task: Any) -> int | None:
    """Multiply-accumulates of one image as `segexp describe` tells them; None of a chain that only real images go through."""
    from segexp.build import checked
    from segexp.probe import macs, usual_size

    try:
        return macs(checked(config, task.data).model, task.data, usual_size(config.augmentation.get("crop")))
    except (NotImplementedError, RuntimeError):
        return None
