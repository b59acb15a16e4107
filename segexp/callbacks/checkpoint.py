"""Checkpoints of the weights: written beside, synced, renamed; `LAST` and `BEST` point to them."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any, BinaryIO

import torch
from pytorch_lightning import Callback, Trainer

from segexp.callbacks.evaluation import RunInfo
from segexp.functional.files import write_atomic, write_json


class Checkpoint(Callback):
    """Save the model's weights after each validation, at the end, and every so many steps.

    A checkpoint is `step-<n>.ckpt`, plain tensors that load with `weights_only=True`, and `step-<n>.json` with its
    sha256, size, step and score. Older ones than `keep` are removed, never the best.

    Args:
        run: the run; greater is better for its monitored figure unless the name ends in `loss`.
        every_n_train_steps: besides the one after each validation.
        keep: how many of the latest stay.
    """

    def __init__(self, run: RunInfo, *, every_n_train_steps: int | None = None, keep: int = 2) -> None:
        self.folder, self.monitor = run.folder / "checkpoints", run.monitor
        self.every, self.keep = every_n_train_steps, keep
        self.best = -math.inf
        self.saved = -1

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        if self.every and step % self.every == 0 and step != self.saved:
            self.save(pl_module, step, None)

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        split, _, name = (self.monitor or "").partition("/")
        self.save(pl_module, trainer.global_step, pl_module.figures.get(split, {}).get(name))

    def save(self, task: Any, step: int, score: float | None) -> None:
        """Write the weights, then the pointers, then drop old ones."""
        name = f"step-{step}"
        if step != self.saved:
            self.folder.mkdir(parents=True, exist_ok=True)
            state = {"state_dict": task.model.state_dict(), "step": step, "epoch": task.current_epoch}

            def write(file: BinaryIO) -> None:
                torch.save(state, file)

            write_atomic(self.folder / f"{name}.ckpt", write)
            self.saved = step
        record = {"step": step, "score": score} | _digest(self.folder / f"{name}.ckpt")
        write_json(self.folder / f"{name}.json", record)
        write_atomic(self.folder / "LAST", name)
        value = -score if score is not None and (self.monitor or "").endswith("loss") else score
        if value is not None and value > self.best:
            self.best = value
            write_atomic(self.folder / "BEST", name)
        self._prune()

    def _prune(self) -> None:
        steps = sorted((int(p.stem.removeprefix("step-")) for p in self.folder.glob("step-*.ckpt")), reverse=True)
        best = self.folder / "BEST"
        kept = {f"step-{step}" for step in steps[: self.keep]} | ({best.read_text()} if best.exists() else set())
        for step in steps:
            if f"step-{step}" not in kept:
                (self.folder / f"step-{step}.ckpt").unlink()
                (self.folder / f"step-{step}.json").unlink(missing_ok=True)


def pointed(folder: Path, which: str) -> Path | None:
    """The checkpoint that `last` or `best` points to; None where there is none."""
    pointer = folder / which.upper()
    return folder / f"{pointer.read_text().strip()}.ckpt" if pointer.is_file() else None


def _digest(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": path.stat().st_size}
