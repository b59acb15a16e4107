"""How fast a chain is and what memory it takes: images per second, latency, peak memory, on random images."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from segexp.build import Experiment
from segexp.errors import ConfigError
from segexp.probe import example
from segexp.task import scale, totals
from segexp.types import Size

LEAST = 5  # repetitions, however long they take
WARM_UP = 2
MIB = 2**20


@dataclass(frozen=True)
class Timing:
    """One row of a benchmark; memory is what the measured calls added at their peak, None where it can't be known."""

    what: str
    batch: int
    seconds: tuple[float, ...]
    peak_mib: float | None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def slow(self) -> float:
        """The latency that 90 % of the calls stay within."""
        return sorted(self.seconds)[max(0, round(0.9 * len(self.seconds)) - 1)]

    @property
    def rate(self) -> float:
        """Images per second, by the median."""
        return self.batch / self.median

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "what": self.what,
            "batch": self.batch,
            "images_per_s": self.rate,
            "median_ms": 1e3 * self.median,
            "p90_ms": 1e3 * self.slow,
            "peak_mib": self.peak_mib,
            "repetitions": len(self.seconds),
        }


def precision(name: str, device: torch.device) -> AbstractContextManager[Any]:
    """What a forward pass runs within under `trainer.precision`.

    Raises:
        ConfigError: one that isn't measured here.
    """
    mixed = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    if name in ("32-true", "32", 32):
        return nullcontext()
    if name not in mixed:
        raise ConfigError("a bench knows no such precision", where=f"trainer.precision={name}", fix="trainer.precision=32-true|bf16-mixed")
    return torch.autocast(device.type, mixed[name])


def predicting(experiment: Experiment, size: Size, batch: int, seconds: float, within: str = "32-true") -> Timing:
    """Images to predictions at the same size, in eval mode, at a precision."""
    model: Any = experiment.task.model.eval()
    device = next(model.parameters()).device
    images = torch.rand(batch, experiment.task.data.in_channels, *size, device=device)

    def predict() -> None:
        with precision(within, device):
            model.predict(images)

    return _timed("predict", batch, predict, device, seconds)


def training(experiment: Experiment, size: Size, batch: int, seconds: float, within: str = "32-true") -> Timing:
    """Training steps: forward, loss, backward, optimizer. The weights move."""
    task = experiment.task
    model: Any = task.model.train()
    device, optimizer = next(model.parameters()).device, task.make_optimizer(task.model)
    given = example(task.data, model.head.needs | task.loss.needs, task.loss, size=size, images=batch).to(device)

    def step() -> None:
        with precision(within, device):
            sums = task.loss(model(given.images, given.sizes, given.targets), given)
        torch.stack(list(scale(sums, totals(given.counts), 1).values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return _timed("training step", batch, step, device, seconds)


def _timed(what: str, batch: int, call: Callable[[], Any], device: torch.device, seconds: float) -> Timing:
    before = _mark(device)
    for _ in range(WARM_UP):
        call()
    _wait(device)
    peak, taken = _peak(device), []
    began = time.perf_counter()
    while len(taken) < LEAST or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        call()
        _wait(device)
        taken.append(time.perf_counter() - start)
    return Timing(what, batch, tuple(taken), None if before is None or peak is None else max(0.0, peak - before))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _mark(device: torch.device) -> float | None:
    """Forget the peak so far; MiB in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / MIB
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark of this process begins anew
    except OSError:
        return None
    return _status("VmRSS")


def _peak(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else _status("VmHWM")


def _status(field: str) -> float | None:
    """A field of this process's status in MiB; None where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), None)
