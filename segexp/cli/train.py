"""segexp train [-m] [overrides]: train, validate, and test if the data set has a test split.

  segexp train                                             the default experiment
  segexp train experiment=camvid_lite0 paths.data=<folder> a preset
  segexp train backbone=resnet18 optimizer.lr=3e-4 seed=1  other groups and keys
  segexp train -m backbone=resnet18,mobilenet_v2 seed=0,1  a sweep: every combination
  segexp train debug=fast                                  two batches of everything

The same command names the same run: when it is done its result is printed, otherwise a new attempt starts.
run.again=true starts a new attempt in any case. Runs are folders under paths.outputs (outputs/).
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.cli.arguments import split
from segexp.errors import SegexpError, StoppedError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from segexp.runs.directory import RunDirectory

USAGE = "segexp train [-m] [overrides]"


def run(arguments: Sequence[str]) -> int:
    """One run, or a sweep with -m."""
    _, overrides, flags = split(arguments, flags=("-m", "--multirun"), usage=USAGE)
    if flags:
        return sweep(overrides)
    from segexp.config import compose

    return train(compose("train", overrides), overrides)


def train(config: DictConfig, overrides: Sequence[str]) -> int:
    """Make the run so: print the result of one that is done, else start an attempt."""
    from segexp.config import resolve
    from segexp.runs.directory import RunDirectory
    from segexp.runs.manifest import manifest

    resolve(config)  # a key without a value is said before anything is written

    directory = RunDirectory.of(config, Path(config.paths.outputs))
    result = directory.result() if directory.state() == "done" else None
    if result is not None and not config.run.again:
        print(f"{directory.path} is done (run.again=true starts it again)")
        _show(directory, result)
        return 0
    attempt = directory.begin(config, overrides, manifest(config, directory.id, overrides, threads=config.run.threads))
    print(f"run {directory.id}, attempt {attempt}: {directory.path}", flush=True)
    from segexp.report.page import write_report

    try:
        with logged(directory.log):
            result = fit(config, directory)
        directory.finish(result)
    except (KeyboardInterrupt, SystemExit) as error:
        stopped = StoppedError("stopped before its end", where=str(directory.path), fix="the same command starts a new attempt")
        directory.update(state="killed", error=stopped.as_dict())
        raise stopped from error
    except BaseException as error:
        directory.fail(error, traceback.format_exc())
        raise
    finally:
        with suppress(OSError):  # a page that can't be written must not hide why the run failed
            write_report(directory.path)
    _show(directory, result)
    return 0


def fit(config: DictConfig, directory: RunDirectory) -> dict[str, Any]:
    """Build, train, evaluate; returns what goes into `result.json`."""
    print("loading torch and building the model", flush=True)
    import torch

    from segexp.build import build, prepare, trainer
    from segexp.callbacks.checkpoint import pointed
    from segexp.callbacks.evaluation import RunInfo
    from segexp.config import resolve
    from segexp.functional.files import read_json
    from segexp.report.charts import downsample
    from segexp.report.record import flatten, read_run
    from segexp.runs.manifest import update_manifest

    prepare(config)
    experiment = build(config)
    task, data = experiment.task, experiment.datamodule
    found = {"spec": task.data.to_dict(), "data": experiment.dataset.fingerprint(), "frozen": experiment.frozen}
    update_manifest(directory.manifest, found | {"threads": torch.get_num_threads()})
    lightning = trainer(config, RunInfo(directory.path, config.monitor), training=True)
    began = time.monotonic()
    lightning.fit(task, datamodule=data)
    steps = lightning.global_step
    if task.evaluated_at != steps:  # the last epoch wasn't one with a validation
        lightning.validate(task, datamodule=data, verbose=False)
    seconds = time.monotonic() - began
    if "test" in experiment.dataset.splits:
        lightning.test(task, datamodule=data, verbose=False)
    best = pointed(directory.checkpoints, "best")
    directory.update(step=steps)
    return task.figures | {
        "monitor": config.monitor,
        "best": {k: v for k, v in read_json(best.with_suffix(".json")).items() if k in ("step", "score")} if best else None,
        "steps": steps,
        "seconds": round(seconds, 2),
        "parameters": sum(p.numel() for p in task.model.parameters()),
        "config": {key: value for key, value in flatten(resolve(config)).items() if not key.startswith(("paths.", "logger."))},
        "curves": {name: downsample(points, 64) for name, points in read_run(directory.path).series.items()},
    }


def sweep(overrides: Sequence[str]) -> int:
    """Every combination of the comma-separated values, one after another in this process; one failure leaves the others alone."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    from segexp.config import compose, session
    from segexp.overrides import check_overrides

    rows: list[tuple[str, str]] = []

    def job(_: DictConfig) -> None:
        mine = list(HydraConfig.get().overrides.task)
        print(f"\njob {len(rows) + 1}: {' '.join(mine)}", flush=True)
        try:
            train(compose("train", mine), mine)
            rows.append(("done", " ".join(mine)))
        except StoppedError:
            raise  # the whole sweep was meant
        except Exception as error:
            known = error if isinstance(error, SegexpError) else SegexpError(f"{type(error).__name__}: {error}")
            print(known.line(), file=sys.stderr, flush=True)
            rows.append((f"failed ({known.code})", " ".join(mine)))

    with session():
        check_overrides("train", overrides)
        jobs = [*overrides, "hydra.mode=MULTIRUN"]
        hydra: Any = GlobalHydra.instance().hydra
        hydra.multirun("train", job, jobs, with_log_configuration=False)
    width = max(len(state) for state, _ in rows)
    print(f"\n{len(rows)} jobs\n" + "\n".join(f"  {state:{width}}  {text}" for state, text in rows))
    failed = [text for state, text in rows if state != "done"]
    if failed:
        raise SegexpError(f"{len(failed)} of {len(rows)} jobs failed", where=failed[0], fix="the same command runs only what isn't done")
    return 0


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


def _show(directory: RunDirectory, result: dict[str, Any]) -> None:
    """A short summary with the paths to look at."""
    for name in ("val", "test"):
        figures = result.get(name) or {}
        shown = {k: v for k, v in figures.items() if "/" not in k}
        if shown:
            print(f"{name:5} " + "  ".join(f"{k} {'-' if v is None else format(v, '.4f')}" for k, v in shown.items()))
    print(f"{result['steps']} steps in {result['seconds']:.0f} s, {result['parameters'] / 1e6:.2f} M parameters")
    print(f"report    {directory.report}")
    print(f"pictures  {directory.images}")
