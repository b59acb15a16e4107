"""`python -m tests.e2e.rank_evaluation [--some] [--json FILE]`: the same evaluation by one, two, three and four ranks.

Each rank count has one process group (gloo), in which `Trainer.validate` evaluates 1 to 9 images in batches of 1, 2 and 4 for
each task. What is counted has to be equal whole number by whole number, what is logged to 1e-6. Exit code 1 if it isn't.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from segexp.build import Experiment

SAME = (
    *("data=shapes", "data.height=32", "data.width=48", "data.train=4", "data.val=9", "data.test=1", "backbone=timm"),
    *("backbone.name=test_resnet", "trainer=ddp", "trainer.accelerator=cpu", "~callbacks.panels"),
)
THIN = tuple(f"decoder.parts.{part}.{key}=16" for part in ("semantic", "instance") for key in ("width", "aspp_width"))
CHAINS = {
    "semantic": ("model=deeplabv3plus", "decoder.width=16"),
    "panoptic": ("model=panoptic_deeplab", *THIN),
    "detection": ("model=fcos", "decoder.width=64"),
}
STEPS = 80
RANKS, IMAGES, SIZES = (1, 2, 3, 4), range(1, 10), (1, 2, 4)
CLOSE, RECORDED, PATIENCE = 1e-6, 1e-3, 500.0
Case = tuple[str, int, int]  # task, images, of a batch


def cases(*, some: bool) -> list[Case]:
    """All of them, or each number of images with one size of batches."""
    every = itertools.product(CHAINS, IMAGES, SIZES)
    return [case for case in every if not some or SIZES[case[1] % 3] == case[2]]


def evaluated(world: int, rank: int, folder: Path, wanted: Sequence[Case]) -> list[dict[str, Any]]:
    """Be a rank: evaluate all cases; what each gives, as this rank knows it."""
    import torch
    import torch.distributed as dist

    from segexp.build import build, prepare
    from segexp.config import compose
    from segexp.ranks.layout import MINE

    configs = {task: compose("train", [*SAME, *words, f"trainer.devices={world}", "run.threads=1"]) for task, words in CHAINS.items()}
    prepare(configs["semantic"])
    built = {task: build(config) for task, config in configs.items()}  # seeded; before there is a group, as in a run
    for task, experiment in built.items():
        experiment.task.model.load_state_dict(torch.load(folder / f"{task}.pt", weights_only=True))
    os.environ.update({MINE: f"{rank} 127.0.0.1:1", "GLOO_SOCKET_IFNAME": "lo"})  # there is no roster: nobody trains
    dist.init_process_group("gloo", init_method=f"file://{folder / f'group-{world}'}", rank=rank, world_size=world)
    found = []
    for task, those in itertools.groupby(wanted, key=lambda case: case[0]):
        found += list(_task(configs[task], built[task], list(those), folder / f"{task}-{world}"))
    dist.destroy_process_group()
    return found


def taught(folder: Path) -> None:
    """Teach each chain the images that are evaluated, a little: without a match there is little to be counted."""
    import torch

    from segexp.build import build, prepare
    from segexp.config import compose
    from segexp.datamodule import to_float
    from segexp.task import scale, totals

    for task, words in CHAINS.items():
        config = compose("train", [*SAME, *words, "run.threads=1"])
        prepare(config)
        experiment = build(config)
        batch, learner = next(iter(experiment.datamodule.evaluation("val"))), experiment.task
        batch.images = to_float(batch.images)
        optimizer = torch.optim.Adam(learner.parameters(), lr=1e-3)
        for _ in range(STEPS):
            sums = learner.loss(learner.model(batch.images, batch.sizes, batch.targets), batch)
            optimizer.zero_grad()
            torch.stack(list(scale(sums, totals(batch.counts), 1).values())).sum().backward()
            optimizer.step()
        torch.save(learner.model.state_dict(), folder / f"{task}.pt")


def _task(config: DictConfig, experiment: Experiment, wanted: Sequence[Case], folder: Path) -> Iterator[dict[str, Any]]:
    """Evaluate the cases of a task."""
    from segexp.build import trainer
    from segexp.callbacks.evaluation import RunInfo

    folder.mkdir(parents=True, exist_ok=True)
    lightning = trainer(config, RunInfo(folder, config.monitor), training=True)
    assert lightning.world_size == config.trainer.devices
    for _, images, size in wanted:
        experiment.datamodule.limit = images
        experiment.datamodule.options = replace(experiment.datamodule.options, eval_batch_size=size)
        lightning.validate(experiment.task, datamodule=experiment.datamodule, verbose=False)
        logged = {name: float(value) for name, value in lightning.callback_metrics.items()}
        yield {"logged": logged, "states": _states(experiment.task), "images": _images(folder) if lightning.is_global_zero else []}


def _states(task: Any) -> dict[str, Any]:
    """The states of the metrics that are sums over ranks, as `compute` sees them: whole numbers, and those that aren't."""
    found = {}
    for name, metric in task.metrics.parts():
        with metric.sync_context():
            values = {key: getattr(metric, key) for key in metric._defaults}
            found |= {f"{name}.{key}": value.tolist() for key, value in values.items() if not isinstance(metric._defaults[key], list)}
    return found


def _images(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "per_image.jsonl").read_text().splitlines()]


def group(world: int, folder: Path, wanted: Sequence[Case]) -> list[list[dict[str, Any]]]:
    """What each rank of so many found: forked of this process, which has no threads."""
    _forked([(_child, (world, rank, folder, wanted)) for rank in range(world)])
    return [json.loads((folder / f"found-{world}-{rank}.json").read_text()) for rank in range(world)]


def _forked(calls: Sequence[tuple[Callable[..., None], tuple[Any, ...]]]) -> None:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=function, args=given) for function, given in calls]
    for process in children:
        process.start()
    for process in children:
        process.join(PATIENCE)
    left = [process for process in children if process.is_alive()]
    for process in left:
        process.kill()
    codes = [process.exitcode for process in children]
    assert codes == [0] * len(calls), f"{calls[0][0].__name__} by {len(calls)} processes: they ended with {codes}"


def _child(world: int, rank: int, folder: Path, wanted: Sequence[Case]) -> None:
    found = evaluated(world, rank, folder, wanted)
    (folder / f"found-{world}-{rank}.json").write_text(json.dumps(found))


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """In what an evaluation isn't that of one rank; whole numbers are to be equal, others to be near."""
    return [f"{path}: {a!r} instead of {b!r}" for path, a, b in _leaves("", found, wanted) if not _same(a, b, _close(path))]


def _leaves(path: str, a: Any, b: Any) -> Iterator[tuple[str, Any, Any]]:
    """Pairs of what is at the same place; of parts that aren't built alike themselves."""
    if isinstance(a, dict) and isinstance(b, dict) and set(a) == set(b):  # names in any order
        for key in a:
            yield from _leaves(f"{path}/{key}", a[key], b[key])
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            yield from _leaves(f"{path}/{i}", left, right)
    else:
        yield path, a, b


def _close(path: str) -> float:
    """What of an image isn't whole (scores, areas of boxes) is a float32, which hangs on who was predicted together with it."""
    return RECORDED if path.startswith("/images/") else CLOSE


def _same(a: Any, b: Any, close: float) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= close * max(1.0, abs(b)) or (math.isnan(a) and math.isnan(b))
    return type(a) is type(b) and a == b


def problems(wanted: Sequence[Case], found: Mapping[int, list[list[dict[str, Any]]]]) -> list[str]:
    """Where ranks differ from one rank with the same images one by one, and among themselves in what they log."""
    alone = dict(zip(wanted, found[1][0], strict=True))
    whole = {case[:2]: row for case, row in alone.items()}  # whatever the size of batches
    said = []
    for world, parts in found.items():
        for number, case in enumerate(wanted):
            rows, name = [part[number] for part in parts], f"{world} ranks, {case[0]}, {case[1]} images by {case[2]}"
            said += [f"{name}: {text}" for text in differences(rows[0], whole[case[:2]])]
            said += [f"{name}: rank {r} logs others" for r, row in enumerate(rows) if differences(row["logged"], rows[0]["logged"])]
            ids = [row["id"][-1] for row in rows[0]["images"]]
            said += [] if ids == [str(i) for i in range(case[1])] else [f"{name}: records of {ids}"]
    return said


def main(arguments: Sequence[str]) -> int:
    """Evaluate and compare; 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.rank_evaluation", description=__doc__)
    parser.add_argument("--some", action="store_true", help="each number of images with one size of batches")
    parser.add_argument("--json", type=Path, help="where to write what was found")
    options = parser.parse_args(arguments)
    wanted = cases(some=options.some)
    import segexp.build  # before the forks, once for all
    import segexp.callbacks.checkpoint
    import segexp.callbacks.evaluation  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        _forked([(taught, (Path(folder),))])
        found = {world: group(world, Path(folder), wanted) for world in RANKS}
    said = problems(wanted, found)
    if options.json:
        options.json.write_text(json.dumps({"cases": wanted, "found": found, "problems": said}))
    print(*said[:40], f"{len(wanted)} evaluations by {', '.join(map(str, RANKS))} ranks: {len(said)} differences", sep="\n")
    return int(bool(said))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
