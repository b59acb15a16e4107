"""A sampler whose draws depend on the search's seed, the trial's number and the parameter's name alone, and on the trials before.

A sampler that is seeded once draws something else after a restart; so does one that is seeded for each trial, if the restart
comes between two of its parameters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class Keyed(BaseSampler):
    """Draws as another sampler does.

    Args:
        make: the other sampler, of a seed.
        seed: of the search.
        first: values by name that the first trials have, in their order.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int, first: Sequence[Mapping[str, Any]] = ()) -> None:
        self.make, self.seed, self.first = make, seed, first
        self._last: tuple[int, BaseSampler] | None = None

    def _at(self, *key: object) -> BaseSampler:
        text = "/".join(map(str, (self.seed, *key)))
        return self.make(int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big"))

    def _joint(self, trial: FrozenTrial) -> BaseSampler:
        """One sampler for all that is asked of it for a trial: it remembers between two questions."""
        if self._last is None or self._last[0] != trial.number:
            self._last = trial.number, self._at(trial.number)
        return self._last[1]

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What is drawn jointly; nothing of a trial that has been given values."""
        if trial.number < len(self.first):
            return {}
        return self._joint(trial).infer_relative_search_space(study, trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """A joint draw."""
        return self._joint(trial).sample_relative(study, trial, search_space) if search_space else {}

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        """What the trial has been given, or a draw."""
        given = self.first[trial.number] if trial.number < len(self.first) else {}
        if param_name in given:
            return given[param_name]
        return self._at(trial.number, param_name).sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Let the other sampler note what it needs."""
        self._joint(trial).after_trial(study, trial, state, values)
