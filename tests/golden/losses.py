"""The first 50 training losses of each task, bit by bit: what they are here, and whether they are those that were recorded.

Losses are those of real runs (`metrics.jsonl`), each in a process of its own with one thread. The same bits are due where all is
equal that decides them (`machine`); elsewhere the first ten, to a thousandth: what comes later, chaos takes apart.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segexp.runs.manifest import hardware, versions
from segexp.sweeps import child, forks
from tests.soak.trial import Trial, document, ended

FOLDER = Path(__file__).parent
STEPS, FIRST, CLOSE, PATIENCE = 50, 10, 1e-3, 120.0
SAME = (
    *("data=shapes", f"data.train={2 * STEPS}", "data.val=1", "data.test=1", "data.loader.batch_size=2", "seed=0"),
    *("backbone=timm", "backbone.name=test_resnet", "callbacks.panels.count=0"),
    *("trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.log_every_n_steps=1"),
)
QUICK, SLOW, SLOWER = (f"optimizer.lr={lr}" for lr in ("1e-3", "1e-4", "3e-5"))  # so slow that other bits stay 1e-5 away for ten steps
SMALL, LARGER = ("data.height=32", "data.width=48"), ("data.height=64", "data.width=96")
NARROW = ("width=64", "mask_width=16", "samples=32", "proposals_before=[200,100]", "proposals_after=[100,50]")
CHAINS = {
    "semantic": (QUICK, *SMALL, "model=deeplabv3plus", "decoder.width=16"),
    "panoptic": (SLOWER, *SMALL, "model=panoptic_deeplab"),
    "instance": (QUICK, *LARGER, "model=mask_rcnn", "decoder.width=32", *(f"head.{text}" for text in NARROW)),
    "detection": (SLOW, *LARGER, "model=fcos"),
    "classification": (QUICK, *SMALL, "task=classification", "mixing=both"),
    "multi_label": (QUICK, *SMALL, "task=multi_label"),
}
DECISIVE = ("python", "torch", "torchvision", "timm", "numpy", "pillow", "scipy")  # distributions whose arithmetic is in it


@contextmanager
def server(folder: Path) -> Iterator[forks.ForkServer]:
    """Where runs begin in a moment, each in a process of its own."""
    usual, forks.SERVER = forks.SERVER, "tests.soak.server"
    try:
        with forks.ForkServer(grace=5, output=folder / "server.txt") as entered:
            yield entered
    finally:
        forks.SERVER = usual


def found(task: str, server: forks.ForkServer, folder: Path) -> dict[str, Any]:
    """Train, and read what is logged; `{"machine": {...}, "losses": [hex, ...]}`.

    Raises:
        AssertionError: the run fails, or hasn't as many losses; has its last words.
    """
    trial = Trial(server, folder / task, [*SAME, *CHAINS[task]])
    told = {"instead": "tests.golden.losses:run", "machine": str(trial.folder / "machine.json")}
    code = ended(server.start({**document(trial.job, 1, {}), **told}, trial.log), PATIENCE)
    assert code == 0, f"exit {code}: {trial.said()}"
    logged = map(json.loads, trial.run.metrics.read_text().splitlines())
    losses = [float(row["value"]).hex() for row in logged if row["name"] == "train/loss"]
    assert len(losses) == STEPS, f"{task}: {len(losses)} losses"
    return {"machine": json.loads(Path(told["machine"]).read_text()), "losses": losses}


def run(told: Mapping[str, Any]) -> int:
    """In the process of a run: make it, and note what it was made on."""
    code = child.run(told)
    Path(told["machine"]).write_text(json.dumps(machine()))
    return code


def machine() -> dict[str, Any]:
    """All that decides the bits beside the code: instructions, the processor (oneDNN and MKL choose by it), threads, versions."""
    import torch

    installed = versions()
    return {
        "arch": platform.machine(),
        "cpu": hardware()["cpu"],
        "capability": torch.backends.cpu.get_cpu_capability(),
        "mkl": torch.backends.mkl.is_available(),
        "mkldnn": torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled,
        "threads": torch.get_num_threads(),
        "versions": {name: installed.get(name) for name in DECISIVE},
    }


def read(task: str) -> dict[str, Any]:
    """What was recorded of a task, as from `found`."""
    return json.loads((FOLDER / f"{task}.json").read_text())


def write(task: str, record: Mapping[str, Any]) -> None:
    """Record it."""
    (FOLDER / f"{task}.json").write_text(json.dumps(record, indent=1) + "\n")


def differences(now: Mapping[str, Any], then: Mapping[str, Any]) -> list[str]:
    """Which losses aren't what they were: all bit by bit on an equal machine, else the first ten to a thousandth.

    Args:
        now, then: as from `found`.

    Returns:
        A line each, with the step from 0.
    """
    pairs = list(enumerate(zip(now["losses"], then["losses"], strict=True)))
    if now["machine"] == then["machine"]:
        return [f"step {i}: {float.fromhex(a)} ({a}) instead of {float.fromhex(b)} ({b})" for i, (a, b) in pairs if a != b]
    values = [(i, float.fromhex(a), float.fromhex(b)) for i, (a, b) in pairs[:FIRST]]
    return [f"step {i}: {a} isn't {b} to {CLOSE}" for i, a, b in values if not abs(a - b) <= CLOSE * abs(b)]  # NaN is a difference


def other(now: Mapping[str, Any], then: Mapping[str, Any]) -> Sequence[str]:
    """In what a machine differs from that of a record."""
    a, b = ({**record["machine"], **record["machine"]["versions"]} for record in (now, then))
    return [f"{name} {a.get(name)} instead of {b[name]}" for name in b if name != "versions" and a.get(name) != b[name]]
