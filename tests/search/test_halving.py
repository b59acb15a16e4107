"""Successive halving: who goes on at a rung, and that asking twice changes nothing."""

import optuna
import pytest

from segexp.search.halving import Halving
from segexp.search.keyed import Keyed

optuna.logging.set_verbosity(optuna.logging.WARNING)


def verdicts(values, direction="maximize", rung=1, factor=3, step=1):
    study = optuna.create_study(direction=direction, pruner=Halving(rung, factor))
    found = []
    for value in values:
        trial = study.ask()
        trial.report(value, step)
        found.append(trial.should_prune())
        assert trial.should_prune() is found[-1]
    return found


def test_the_best_third_of_those_at_a_rung_goes_on():
    assert verdicts([0.5, 0.4, 0.6, 0.5, 0.7, 0.6, 0.65]) == [False, False, False, True, False, False, False]
    assert verdicts([-0.5, -0.4, -0.6, -0.5, -0.7], direction="minimize") == [False, False, False, True, False]
    assert verdicts([0.5, 0.4, 0.3, 0.2], step=2) == [False] * 4  # no rung
    assert verdicts([0.5, float("nan"), 0.4, 0.3], factor=2) == [False, False, True, True]


def test_rungs_are_multiples():
    assert [step for step in range(1, 60) if Halving(2, 3).is_rung(step)] == [2, 6, 18, 54]


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_draw_depends_on_seed_number_and_name_alone(name):
    def drawn(seed, order):
        study = optuna.create_study(sampler=Keyed(lambda s: optuna.samplers.RandomSampler(seed=s), seed))
        study.ask()
        trial = study.ask()
        for one in order:
            trial.suggest_float(one, 0, 1)
        return trial.params[name]

    assert drawn(0, "ab") == drawn(0, "ba") == drawn(0, name)
    assert drawn(0, "ab") != drawn(1, "ab")
