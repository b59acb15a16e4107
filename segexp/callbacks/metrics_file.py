"""Every logged value as a line of `metrics.jsonl`: {"step", "epoch", "name", "value"}."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger


class MetricsFile(Logger):
    """A Lightning logger that appends to one file; NaN and infinity are written as null.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.file = path.open("a", buffering=1)  # line by line: a killed run keeps what it logged

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write one line per value; Lightning calls it with what the task logged."""
        epoch = metrics.get("epoch")
        lines = [
            json.dumps({"step": step, "epoch": None if epoch is None else int(epoch), "name": name, "value": _plain(value)})
            for name, value in metrics.items()
            if name != "epoch"
        ]
        self.file.write("\n".join(lines) + "\n" if lines else "")

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run directory has the whole config."""

    def finalize(self, status: str) -> None:
        self.file.flush()


def _plain(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
