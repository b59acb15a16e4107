"""One line per evaluated image in `per_image.jsonl`: enough to compute the data set's figures again, and to bootstrap."""

from __future__ import annotations

import json

from segexp.callbacks.evaluation import EvaluationCallback, RunInfo
from segexp.functional import ranks
from segexp.functional.files import write_atomic
from segexp.task import Evaluated, Task
from segexp.types import Batch


class PerImageRecords(EvaluationCallback):
    """Write the records of the latest evaluation of each split; those of other splits stay as they are."""

    def __init__(self, run: RunInfo) -> None:
        self.path = run.folder / "per_image.jsonl"
        self.lines: list[str] = []

    def start(self, split: str) -> None:
        self.lines = []

    def batch(self, split: str, task: Task, outputs: Evaluated, batch: Batch) -> None:
        for identifier, record in zip(batch.ids, outputs.records, strict=True):
            plain = {metric: {name: counts.tolist() for name, counts in part.items()} for metric, part in record.items()}
            self.lines.append(json.dumps({"id": identifier, "split": split} | plain))

    def end(self, split: str) -> None:
        parts, self.lines = ranks.gathered(self.lines), []
        if not parts:
            return
        before = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        others = [line for line in before if json.loads(line)["split"] != split]  # an interrupted run has them on the disk alone
        write_atomic(self.path, "".join(f"{line}\n" for line in [*others, *ranks.in_turn(parts)]))
