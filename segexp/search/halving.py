"""Asynchronous successive halving that looks at reported figures alone, so that asking twice gives the same answer."""

from __future__ import annotations

import math

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial


class Halving(BasePruner):
    """At a rung, a trial goes on if it is among the best 1 / factor of those that have reached it so far.

    The first `factor - 1` trials at a rung go on in any case. Optuna's own pruner notes that a rung is done before it answers:
    a run that is killed in between would be asked about the next one.

    Args:
        rung: the first rung, in reported steps.
        factor: each rung is so many times as far as the one before.
    """

    def __init__(self, rung: int, factor: int) -> None:
        self.rung, self.factor = rung, factor

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Is the trial to end at the step that it reported last?"""
        step = trial.last_step
        if step is None or not self.is_rung(step):
            return False
        own = trial.intermediate_values[step]
        trials = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        others = [t.intermediate_values[step] for t in trials if step in t.intermediate_values]
        reached = [value for value in (*others, own) if not math.isnan(value)]
        if len(reached) < self.factor:
            return False
        reached.sort(reverse=study.direction == StudyDirection.MAXIMIZE)
        last = reached[max(1, len(reached) // self.factor) - 1]
        return own < last if study.direction == StudyDirection.MAXIMIZE else own > last

    def is_rung(self, step: int) -> bool:
        """Is it rung, rung x factor, rung x factor x factor, ...?"""
        at = self.rung
        while at < step:
            at *= self.factor
        return at == step
