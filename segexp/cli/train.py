"""segexp train [-m] [overrides]: train, validate, and test if the data set has a test split.

  segexp train                                             the default experiment
  segexp train experiment=camvid_lite0 paths.data=<folder> a preset
  segexp train backbone=resnet18 optimizer.lr=3e-4 seed=1  other groups and keys
  segexp train -m backbone=resnet18,mobilenet_v2 seed=0,1  a sweep: every combination
  segexp train benchmark=tiny                              a named list of runs x seeds, and one table: segexp list benchmark
  segexp train debug=fast                                  two batches of everything

The same command names the same run: when it is done its result is printed, when it was interrupted it goes on exactly, when
it failed it is retried (run.max_attempts). SIGTERM or Ctrl-C saves the state and exits 75. Runs are folders under outputs/.
  run.again=true                       start from scratch; the old attempt is kept
  resume.mode=must|never               only go on; never go on
  weights.file=run:<id>                start from the weights of a run that is done (weights.skip_head=true: but its head)
  trainer.on_oom=halve                 cut batches where memory runs out
  trainer=ddp trainer.devices=2        so many ranks on this machine; under srun or torchrun also on several (docs/clusters.md)

A sweep (-m) takes lists (seed=0,1), range(0,8), glob(resnet*), choice(a,b). Each job has a process of its own; what fails is
told at the end, with the command that runs only that; the same command again starts only what isn't done.
  launcher.jobs=4            so many at a time; the cores are shared out among them (launcher.cores, run.threads)
  launcher.time_limit=3600   seconds of one job; then it saves, stops, and goes on with the next command
  launcher.gpus=[0,1]        the k-th at a time sees the k-th of these
  launcher.spawn=fresh       a new interpreter for each job instead of a fork of one that has imported all
  launcher=slurm|ray         on a cluster instead: docs/clusters.md

A search (-m sweep=tpe) draws the values, also from "interval(1e-4,1e-1)"; killed, the same command goes on with it.
  sweep=random|tpe|asha|median|pareto  asha and median end runs that do badly; pareto wants several figures
  sweep.trials=40 sweep.metric=val/pq  so many runs; what for (monitor)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segexp.cli.arguments import split
from segexp.errors import ConfigError

if TYPE_CHECKING:
    from segexp.runs.directory import RunDirectory

USAGE = "segexp train [-m] [overrides]"


def run(arguments: Sequence[str]) -> int:
    """One run, or a sweep with -m."""
    _, overrides, flags = split(arguments, flags=("-m", "--multirun"), usage=USAGE)
    from segexp.sweeps.benchmark import benchmark, chosen

    if chosen(overrides):
        return benchmark(overrides)
    if flags:
        return sweep(overrides)
    if search := [text for text in overrides if text.startswith("sweep=") and text not in ("sweep=grid", "sweep=none")]:
        fix = "add -m, and what is to be drawn: -m optimizer.lr=interval(1e-4,1e-1)"
        raise ConfigError("a search has many runs, and this would be one", where=search[0], fix=fix)
    if elsewhere := [text for text in overrides if text in ("launcher=slurm", "launcher=ray")]:
        raise ConfigError("this would be one run here, and a cluster is for the jobs of a sweep", where=elsewhere[0], fix="add -m")
    from segexp.config import compose
    from segexp.ranks.follow import followed
    from segexp.runs.execute import drifted, execute

    config = compose("train", overrides)
    if followed(config):  # rank 0 has told all that there is to tell
        return 0
    outcome = execute(config, overrides)
    if not outcome.ran:
        print(f"{outcome.directory.path} is done (run.again=true starts it again)")
        if said := drifted(config, outcome.directory):
            print(f"warning: since then has changed: {said}")
    show(outcome.directory, outcome.result)
    return 0


def sweep(overrides: Sequence[str]) -> int:
    """Every combination of the values that are swept, each in a process of its own."""
    from segexp.sweeps.driver import sweep as run_all

    return run_all(overrides)


def show(directory: RunDirectory, result: dict[str, Any]) -> None:
    """A short summary with the paths to look at."""
    for name in ("val", "test"):
        figures = result.get(name) or {}
        shown = {k: v for k, v in figures.items() if "/" not in k}
        if shown:
            print(f"{name:5} " + "  ".join(f"{k} {'-' if v is None else format(v, '.4f')}" for k, v in shown.items()))
    rate = (result.get("speed") or {}).get("train_images_per_s")
    speed = f", {rate:.1f} images/s" if rate else ""
    print(f"{result['steps']} steps in {result['seconds']:.0f} s{speed}, {result['parameters'] / 1e6:.2f} M parameters")
    print(f"report    {directory.report}")
    print(f"pictures  {directory.images}")
