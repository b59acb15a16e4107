"""The confusion matrix of the latest evaluation of each split, in `confusion.json`."""

from __future__ import annotations

import json
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from segexp.callbacks.evaluation import RunInfo
from segexp.functional.files import read_json, write_atomic


class ConfusionFile(Callback):
    """Write `{split: {"classes": [names], "counts": [[pixels]]}}`, rows = truth, columns = prediction.

    The matrix is that of the first metric with `counted` (semantic, classification); without one nothing is written. Where images
    are counted, not pixels, `"of": "images"` stands beside.

    A split that isn't evaluated keeps what it has.
    """

    def __init__(self, run: RunInfo) -> None:
        self.path = run.folder / "confusion.json"

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write("val", trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write("test", trainer, pl_module)

    def _write(self, split: str, trainer: Trainer, task: Any) -> None:
        metric = next((part for _, part in task.metrics.parts() if hasattr(part, "counted")), None)
        if metric is not None and trainer.is_global_zero:
            before = read_json(self.path) if self.path.exists() else {}
            unit = {"of": metric.unit} if hasattr(metric, "unit") else {}
            part = unit | {"classes": list(metric.names), "counts": metric.counted.tolist()}
            write_atomic(self.path, _text(before | {split: part}))


def _text(splits: dict[str, Any]) -> str:
    """JSON with a row of a matrix on each line."""
    parts = []
    for name, part in splits.items():
        rows = ",\n  ".join(json.dumps(row) for row in part["counts"])
        head = json.dumps({key: value for key, value in part.items() if key != "counts"}, ensure_ascii=False)[:-1]
        parts.append(f' {json.dumps(name)}: {head}, "counts": [\n  {rows}]}}')
    return "{\n" + ",\n".join(parts) + "\n}\n"
