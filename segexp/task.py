"""The one LightningModule: a training step and an evaluation step for every task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.optim import Optimizer

from segexp.errors import NonFiniteLossError
from segexp.functional import ranks
from segexp.functional.keys import key
from segexp.metrics.several import Metrics, Record
from segexp.model import Model
from segexp.optim.schedules import renew
from segexp.targets import complete
from segexp.types import Batch, DataSpec, Prediction

log = logging.getLogger(__name__)


@dataclass
class Evaluated:
    """What one evaluation batch gave; callbacks write it down."""

    predictions: list[Prediction]
    records: list[Record]


class Task(LightningModule):
    """Train and evaluate a chain. Nothing here knows which task it is.

    A loss returns sums S_t; the gradient of an optimizer step is d(sum_t S_t / N_t), N_t counted over all ranks and
    micro-batches of the step, so it doesn't depend on how the batch was cut. DDP averages over R ranks and Lightning
    divides by A micro-batches: the local loss is sum_t S_t x R A / N_t.

    Args:
        model: the chain up to the head, with its postprocess.
        loss: `(output, batch) -> sums`.
        metrics: the figures.
        data: the classes.
        optimizer: `model -> Optimizer`.
        scheduler: `(optimizer, steps) -> schedule`, stepped each optimizer step.
        seed: of the run.
        skip_nonfinite: so many steps may be left out because their loss isn't finite.
    """

    def __init__(
        self,
        model: Model,
        loss: Any,
        metrics: Metrics,
        data: DataSpec,
        *,
        optimizer: Callable[[Model], Optimizer],
        scheduler: Callable[[Optimizer, int], Any],
        seed: int,
        skip_nonfinite: int = 0,
    ) -> None:
        super().__init__()
        self.model, self.loss, self.metrics, self.data = model, loss, metrics, data
        self.make_optimizer, self.make_scheduler, self.seed = optimizer, scheduler, seed
        self.figures: dict[str, dict[str, float]] = {}  # split -> figures of the last evaluation
        self.evaluated_at = -1  # optimizer steps at that time
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, float] = {}
        self.skip_nonfinite, self.skipped = skip_nonfinite, 0
        self.shape: tuple[int, ...] = ()  # of the images of the batch that is in work...
        self.evaluates = False  # ... and whether it is one of an evaluation
        self.buffers_before: dict[str, Tensor] = {}
        self.groups: list[dict[str, Any]] = []  # of the optimizer as it was made
        self.run_state: dict[str, Any] = {}  # what the checkpoint callback says of the run, on its way into the checkpoint

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["run"] = self.run_state
        checkpoint["task"] = {"figures": self.figures, "evaluated_at": self.evaluated_at, "skipped": self.skipped}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        kept = checkpoint["task"]
        self.figures, self.evaluated_at, self.skipped = kept["figures"], kept["evaluated_at"], kept["skipped"]

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = self.make_optimizer(self.model)
        schedule = self.make_scheduler(optimizer, int(self.trainer.estimated_stepping_batches))
        self.groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def renew_rates(self) -> None:
        """After going on with another config: what it says of learning rates, decays, ... in place of the checkpoint's."""
        optimizer: Any = self.trainer.optimizers[0]
        renew(optimizer, self.trainer.lr_scheduler_configs[0].scheduler, self.groups)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.shape, self.evaluates = tuple(batch.images.shape), False
        if self.skip_nonfinite:
            self.buffers_before = {name: value.clone() for name, value in self.model.named_buffers()}
        torch.manual_seed(key(self.seed, "step", self.global_step, batch_idx, self.global_rank))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        sums = self.loss(self.model(batch.images, batch.sizes, batch.targets), batch)
        parts = scale(sums, totals(batch.counts), ranks.world() * self.trainer.accumulate_grad_batches)
        loss = torch.stack(list(parts.values())).sum()
        means = ranks.mean(torch.stack([part.detach() for part in parts.values()]))  # of all ranks' parts: the step's loss
        values = {"train/loss": means.sum()} | {f"train/loss/{name}": part for name, part in zip(parts, means, strict=True)}
        rate = max(group["lr"] for group in self.trainer.optimizers[0].param_groups)
        self.log_dict(values | {"train/lr": rate}, batch_size=len(batch.ids))  # of a step that is left out too: else the last one's
        if not torch.isfinite(values["train/loss"]):  # on any rank: all see it
            error = self._non_finite(loss.detach(), {name: part.detach() for name, part in parts.items()}, batch)
            if self.skipped >= self.skip_nonfinite:
                raise error
            return self._skip(error)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> Evaluated:
        return self._evaluate(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> Evaluated:
        return self._evaluate(batch)

    def on_validation_epoch_start(self) -> None:
        self._reset()

    def on_test_epoch_start(self) -> None:
        self._reset()

    def on_validation_epoch_end(self) -> None:
        self._report("val")
        self.evaluated_at = self.global_step

    def on_test_epoch_end(self) -> None:
        self._report("test")

    def _evaluate(self, batch: Batch) -> Evaluated:
        self.shape, self.evaluates = tuple(batch.images.shape), True
        if not batch.ids:  # of a rank without images
            return Evaluated([], [])
        for name, count in batch.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        found: dict[int, tuple[Prediction, Record]] = {}
        for members, part in batch.of_one_size():
            found |= dict(zip(members, self._measured(part), strict=True))
        predictions, records = zip(*(found[i] for i in range(len(batch.ids))), strict=True)
        self.metrics.update(list(records))
        return Evaluated(list(predictions), list(records))

    def _measured(self, batch: Batch) -> list[tuple[Prediction, Record]]:
        """Predict images of one size and measure each; adds up what the losses give."""
        given, output = self.model.both(batch.images, batch.sizes, batch.targets)
        for name, value in self.loss(given, batch).items():
            self.sums[name] = self.sums.get(name, 0) + value.double()
            if name not in batch.counts:  # its mean over what is predicted together
                self.counts[name] = self.counts.get(name, 0) + 1.0
        if self.model.protocol is not None:
            output = self.model.output(batch.images, batch.sizes)
        predictions = self.model.predictions(output, batch.images, batch.sizes, batch.original_sizes)
        predictions = [complete(p, self.metrics.needs, self.data) for p in predictions]
        return [(p, self.metrics.measure(p, t)) for p, t in zip(predictions, batch.truth, strict=True)]

    def _reset(self) -> None:
        self.metrics.reset()
        self.sums, self.counts = {}, {}
        ranks.share_buffers(self.model)

    def _report(self, split: str) -> None:
        count = {name: max(value, 1.0) for name, value in ranks.summed(self.counts).items()}
        parts = scale(ranks.summed(self.sums), count, 1)
        figures = {"loss": sum(parts.values())} | {f"loss/{k}": v for k, v in parts.items()} | self.metrics.compute()
        self.figures[split] = {name: float(value) for name, value in figures.items()}
        self.log_dict({f"{split}/{name}": value for name, value in self.figures[split].items()}, batch_size=1)

    def _skip(self, error: NonFiniteLossError) -> None:
        """Leave a step out: Lightning does no backward where there is no loss; running statistics go back."""
        self.skipped += 1
        for name, value in self.model.named_buffers():
            value.copy_(self.buffers_before[name])
        log.warning("left out (%d of at most %d): %s", self.skipped, self.skip_nonfinite, error.what)

    def _non_finite(self, loss: Tensor, parts: dict[str, Tensor], batch: Batch) -> NonFiniteLossError:
        """The error of a step, the same on all ranks: that of the first rank whose own part isn't finite."""
        terms = ", ".join(f"{name} {float(part):g}" for name, part in parts.items())
        rate = max(group["lr"] for group in self.trainer.optimizers[0].param_groups)
        mine = f"-rank-{self.global_rank}" if self.global_rank else ""
        dump = Path(self.trainer.default_root_dir) / f"nonfinite-step-{self.global_step}{mine}.pt"
        if guilty := not torch.isfinite(loss):
            torch.save({"ids": batch.ids, "images": batch.images, "targets": [vars(t) for t in batch.targets]}, dump)
        said = f"the loss is {float(loss):g} ({terms}) at step {self.global_step}, epoch {self.current_epoch}, learning rate {rate:g}"
        found = ranks.shared((said, f"samples {', '.join(batch.ids)}, kept in {dump}") if guilty else None)
        what, where = next((one for one in found if one), (f"the sum of all ranks' losses isn't finite; {said}", ""))
        return NonFiniteLossError(
            what,
            where=where,
            fix=f"lower it (optimizer.lr={rate / 3:.1g}), warm up (scheduler.warmup=500), or clip (trainer.gradient_clip_val=1)",
        )


def totals(counts: dict[str, float]) -> dict[str, float]:
    """Counts over all ranks, at least 1 each (float64: exact for pixels)."""
    names = sorted(counts)
    values = ranks.added([counts[name] for name in names])
    return {name: max(value, 1.0) for name, value in zip(names, values, strict=True)}


def scale(sums: Mapping[str, Any], total: Mapping[str, float], window: int) -> dict[str, Any]:
    """Each sum divided by its count, times the window that Lightning and DDP divide by; a term without count stays."""
    return {name: value * (window / total[name]) if name in total else value for name, value in sums.items()}
