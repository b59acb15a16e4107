"""Make a run so: hand out the result of one that is done, go on with one that was interrupted, start what isn't there."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.config import resolve
from segexp.errors import OutOfMemoryError, SegexpError, StoppedError
from segexp.functional.files import read_json, remove_orphans
from segexp.functional.signals import Stop
from segexp.runs.directory import RunDirectory, probe
from segexp.runs.drift import code_changed, listed, refuse_other_data, version_changes
from segexp.runs.lock import describe, held
from segexp.runs.manifest import update_manifest
from segexp.runs.start import Start, cut, place, start
from segexp.weights.checkpoints import listed as checkpoints
from segexp.weights.checkpoints import newest, pointed, record_of, require_space

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from segexp.build import Experiment
    from segexp.callbacks.evaluation import RunInfo


@dataclass(frozen=True)
class Outcome:
    """A run that is done."""

    directory: RunDirectory
    result: dict[str, Any]
    ran: bool  # now, or was it done before?


def execute(config: DictConfig, overrides: Sequence[str] = ()) -> Outcome:
    """Make the run of a config so.

    Args:
        config: composed, its interpolations kept.
        overrides: what was typed for it.

    Raises:
        HeldError: another process has the run.
        StoppedError: a signal asked for it; the state is saved.
        SegexpError: the run failed, or isn't started any more because it failed too often.
    """
    resolve(config)  # a key without a value is said before anything is written
    directory = place(config)
    if (result := finished(directory)) is not None and not config.run.again:
        return Outcome(directory, result, ran=False)
    probe(directory.outputs)
    directory.path.mkdir(parents=True, exist_ok=True)
    with held(directory.lock) as died:
        if died:
            print(f"taking over from {describe(died)}, which is gone", flush=True)
        remove_orphans(directory.path)
        if (result := _complete(directory)) is not None and not config.run.again:
            return Outcome(directory, result, ran=False)
        begun = start(directory, config, overrides)
        print(f"run {directory.id}, attempt {begun.attempt}{_from(begun)}: {directory.path}", flush=True)
        return Outcome(directory, _attempt(config, directory, begun), ran=True)


def finished(directory: RunDirectory) -> dict[str, Any] | None:
    """The result of a run that is done; None of any other."""
    return directory.result() if directory.state() == "done" else None


def drifted(config: DictConfig, directory: RunDirectory) -> str | None:
    """What of versions, code and data isn't as it was for a run that is done; None where nothing is known to differ."""
    was = read_json(directory.manifest)
    said = [listed(version_changes(was)), code_changed(was) or "", _other_data(config, was) or ""]
    return "; ".join(text for text in said if text) or None


def _other_data(config: DictConfig, was: dict[str, Any]) -> str | None:
    """What is said of data that aren't the manifest's; a data set without files is what its config says."""
    if not config.data.get("root"):
        return None
    from segexp.build import open_dataset

    try:
        refuse_other_data(was, open_dataset(config).fingerprint(), (), "")
    except SegexpError as error:
        return error.what
    return None


def _complete(directory: RunDirectory) -> dict[str, Any] | None:
    """The result, also of a run that was killed between its result and its status."""
    if directory.state() == "running" and directory.result_file.exists():
        directory.update(state="done")
    return finished(directory)


def _from(begun: Start) -> str:
    return f", going on from {begun.checkpoint.stem}" if begun.checkpoint else ""


def _attempt(config: DictConfig, directory: RunDirectory, begun: Start) -> dict[str, Any]:
    """Run, and write down how it ended."""
    from segexp.report.page import write_report

    stop = Stop()
    stop.install()
    try:
        with logged(directory.log):
            result = fit(config, directory, begun, stop)
        directory.finish(result)
        return result
    except (StoppedError, KeyboardInterrupt) as error:
        stopped = error if isinstance(error, StoppedError) else stop.error(str(directory.path))
        directory.update(state="preempted", step=_last_step(directory), error=stopped.as_dict())
        raise stopped from error
    except SystemExit as error:
        known = SegexpError(f"sys.exit({error.code}) within the run", where=str(directory.traceback), fix="see traceback.txt")
        _fail(directory, known)
        raise known from error
    except BaseException as error:
        _fail(directory, error)
        raise
    finally:
        stop.restore()
        with suppress(OSError):  # a page that can't be written must not hide why the run failed
            write_report(directory.path)


def _fail(directory: RunDirectory, error: BaseException) -> None:
    with suppress(OSError):  # on a full disk the error itself is what is to be seen
        directory.update(step=_last_step(directory))
        directory.fail(error, traceback.format_exc())


def _last_step(directory: RunDirectory) -> int:
    found = checkpoints(directory.checkpoints)
    return record_of(found[0])["step"] if found else 0


# ------------------------------------------------------------------------------------------------ the training


def fit(config: DictConfig, directory: RunDirectory, begun: Start, stop: Stop) -> dict[str, Any]:
    """Build, train, evaluate; returns what goes into `result.json`."""
    print("loading torch and building the model", flush=True)
    from segexp.build import prepare
    from segexp.callbacks.evaluation import RunInfo

    prepare(config)
    stop.check(str(directory.path))
    run = RunInfo(directory.path, config.monitor, stop, changed=tuple(config.resume.override))
    began = time.monotonic()
    experiment, lightning = _trained(config, directory, begun.checkpoint, run)
    task, data = experiment.task, experiment.datamodule
    steps = lightning.global_step
    if task.evaluated_at != steps:  # the last epoch wasn't one with a validation
        lightning.validate(task, datamodule=data, verbose=False)
    seconds = time.monotonic() - began
    if "test" in experiment.dataset.splits:
        lightning.test(task, datamodule=data, verbose=False)
    directory.update(step=steps)
    return task.figures | _summary(config, directory, task) | {"steps": steps, "seconds": round(seconds, 2)}


def _trained(config: DictConfig, directory: RunDirectory, checkpoint: Path | None, run: RunInfo) -> tuple[Experiment, Any]:
    """Train to the end; where memory runs out and the config wants it, go on with smaller pieces of each batch."""
    from segexp.build import trainer

    pieces = read_json(directory.manifest).get("pieces", 1)
    while True:
        experiment = _built(config, directory, fresh=checkpoint is None)
        experiment.datamodule.pieces = pieces
        lightning = trainer(config, run, training=True, pieces=pieces)
        try:
            lightning.fit(experiment.task, datamodule=experiment.datamodule, ckpt_path=checkpoint)
            return experiment, lightning
        except BaseException as error:
            if not _out_of_memory(error):
                raise
            known = _memory_error(config, experiment, pieces, lightning.global_step)
            if config.trainer.on_oom != "halve" or pieces * 2 > config.data.loader.batch_size:
                raise known from error
        pieces, checkpoint = _halve(directory, pieces, known, experiment, lightning)
        del experiment, lightning


def _built(config: DictConfig, directory: RunDirectory, *, fresh: bool) -> Experiment:
    """The parts of the experiment; refuses other data than the run began with, and a disk that is too small."""
    import torch

    from segexp.build import build

    was = read_json(directory.manifest)
    experiment = build(config, weights=fresh)
    task, fingerprint = experiment.task, experiment.dataset.fingerprint()
    refuse_other_data(was, fingerprint, tuple(config.resume.override), str(directory.path))
    threads = torch.get_num_threads()
    if not fresh and was["threads"] not in (None, threads):
        _other_threads(config, was["threads"], threads)
    found = {"spec": task.data.to_dict(), "data": fingerprint, "frozen": experiment.frozen, "threads": threads}
    update_manifest(directory.manifest, found | ({"parent": experiment.parent} if fresh else {}))
    weights = sum(value.numel() * value.element_size() for value in task.model.state_dict().values())
    require_space(directory.path, 3 * weights)  # with two moments of the optimizer
    return experiment


def _other_threads(config: DictConfig, then: int, now: int) -> None:
    said = f"the run began with {then} threads of torch, and now has {now}: sums differ in their last bits"
    if config.determinism == "strict":
        raise SegexpError(said, where="determinism=strict", fix=f"run.threads={then}")
    print(f"note: {said}; run.threads={then} keeps them", flush=True)


def _out_of_memory(error: BaseException) -> bool:
    import torch

    texts = ("can't allocate memory", "out of memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in texts)
    )


def _memory_error(config: DictConfig, experiment: Experiment, pieces: int, step: int) -> OutOfMemoryError:
    loader, batch = config.data.loader, experiment.task.shape
    size = f"{batch[0]} x {batch[2]}x{batch[3]}" if batch else f"{loader.batch_size // pieces}"
    accumulate = config.trainer.accumulate_grad_batches
    smaller = f"data.loader.batch_size={max(1, loader.batch_size // 2)} trainer.accumulate_grad_batches={2 * accumulate}"
    return OutOfMemoryError(
        f"the memory is too small for step {step} with a batch of {size}",
        where=f"data.loader.batch_size={loader.batch_size}, augmentation.size",
        fix=f"trainer.on_oom=halve, or {smaller} (the same effective batch), or smaller crops",
    )


def _halve(
    directory: RunDirectory, pieces: int, error: OutOfMemoryError, experiment: Experiment, lightning: Any
) -> tuple[int, Path | None]:
    """Note that batches are cut into twice as many pieces from the newest checkpoint on, and free what was taken."""
    import gc

    import torch

    checkpoint, _ = newest(directory.checkpoints)
    step = record_of(checkpoint)["step"] if checkpoint else 0
    print(f"{error.what}: going on from step {step} with batches in {2 * pieces} pieces, accumulated", flush=True)
    experiment.task.zero_grad(set_to_none=True)
    lightning.optimizers = []
    gc.collect()
    torch.cuda.empty_cache()
    cut(directory.metrics, checkpoint)
    update_manifest(directory.manifest, {"pieces": 2 * pieces, "pieces_since": step})
    return 2 * pieces, checkpoint


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


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Messages of libraries and warnings go to the run's log; our own that matter go to the screen as well."""
    import logging
    import warnings

    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, lightning = logging.getLogger(), logging.getLogger("pytorch_lightning")
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    lightning.handlers.clear()  # it prints tips to the screen
    lightning.propagate = True
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        root.setLevel(before)
        handler.close()
