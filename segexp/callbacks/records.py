"""One line per evaluated image in `per_image.jsonl`: enough to compute the data set's figures again, and to bootstrap."""

from __future__ import annotations

import json

from segexp.callbacks.evaluation import EvaluationCallback, RunInfo
from segexp.functional.files import write_atomic
from segexp.task import Evaluated, Task
from segexp.types import Batch


class PerImageRecords(EvaluationCallback):
    """Write the records of the latest evaluation of each split; an older one of the same split is replaced."""

    def __init__(self, run: RunInfo) -> None:
        self.path = run.folder / "per_image.jsonl"
        self.lines: dict[str, list[str]] = {}

    def start(self, split: str) -> None:
        self.lines[split] = []

    def batch(self, split: str, task: Task, outputs: Evaluated, batch: Batch) -> None:
        for identifier, record in zip(batch.ids, outputs.records, strict=True):
            plain = {metric: {name: counts.tolist() for name, counts in part.items()} for metric, part in record.items()}
            self.lines[split].append(json.dumps({"id": identifier, "split": split} | plain))

    def end(self, split: str) -> None:
        write_atomic(self.path, "".join(f"{line}\n" for lines in self.lines.values() for line in lines))
