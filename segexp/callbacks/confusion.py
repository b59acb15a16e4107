"""The confusion matrix of the latest evaluation of each split, in `confusion.json`."""

from __future__ import annotations

import json
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from segexp.callbacks.evaluation import RunInfo
from segexp.functional.files import read_json, write_atomic
from segexp.metrics.semantic import SemanticMetrics


class ConfusionFile(Callback):
    """Write `{split: {"classes": [names], "counts": [[pixels]]}}`, rows = truth, columns = prediction; without semantic metrics nothing.

    A split that isn't evaluated keeps what it has.
    """

    def __init__(self, run: RunInfo) -> None:
        self.path = run.folder / "confusion.json"

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write("val", trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write("test", trainer, pl_module)

    def _write(self, split: str, trainer: Trainer, task: Any) -> None:
        for _, metric in task.metrics.parts():
            if isinstance(metric, SemanticMetrics) and trainer.is_global_zero:
                before = read_json(self.path) if self.path.exists() else {}
                write_atomic(self.path, _text(before | {split: {"classes": list(metric.names), "counts": metric.counted.tolist()}}))


def _text(splits: dict[str, Any]) -> str:
    """JSON with a row of a matrix on each line."""
    parts = []
    for name, part in splits.items():
        rows = ",\n  ".join(json.dumps(row) for row in part["counts"])
        parts.append(f' {json.dumps(name)}: {{"classes": {json.dumps(part["classes"], ensure_ascii=False)}, "counts": [\n  {rows}]}}')
    return "{\n" + ",\n".join(parts) + "\n}\n"
