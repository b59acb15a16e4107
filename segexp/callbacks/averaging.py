"""Averaged weights: an exponential moving average takes the model's place where it is evaluated and saved."""

from __future__ import annotations

from collections.abc import Callable

from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from segexp.errors import ConfigError


class AveragedWeights(WeightAveraging):
    """Keep an exponential moving average of weights and running statistics.

    It stands in for the model in validations, in checkpoints (beside the trained weights, from which a run goes on) and
    from the end of training on. Unlike Lightning's own, what doesn't change (frozen weights) stays so to the last bit.

    Args:
        decay: of the average at each update; it looks back about 1 / (1 - decay) updates.
        update_every_n_steps: optimizer steps between updates.

    Raises:
        ConfigError: one of them is out of range.
    """

    def __init__(self, *, decay: float = 0.999, update_every_n_steps: int = 1) -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"the decay of an average lies in [0, 1), not {decay}", where="callbacks.ema.decay", fix="0.999")
        if update_every_n_steps < 1:
            what = f"an update every {update_every_n_steps} steps"
            raise ConfigError(what, where="callbacks.ema.update_every_n_steps", fix="1 or more")
        super().__init__(use_buffers=True, avg_fn=_towards(1 - decay))
        self.every = update_every_n_steps

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx % self.every == 0


def _towards(share: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    def moved(average: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        return average.lerp(current, share) if average.is_floating_point() else current  # a count isn't averaged

    return moved
