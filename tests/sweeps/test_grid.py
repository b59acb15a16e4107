"""A sweep's jobs are those of Hydra's own sweeper, in its order."""

import random

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from segexp.catalogue import catalogue
from segexp.config import session
from segexp.errors import ConfigError
from segexp.sweeps.grid import expand

SWEEPS = [
    *("seed=0,1,2", "seed=range(0,4)", "seed=choice(3,1)", "optimizer.lr=1e-3,0.1", "optimizer.lr=sort(0.3,0.1,0.2)"),
    *("backbone=resnet18,mobilenet_v2", "backbone=glob(resnet*)", "backbone=glob(*,exclude=[timm,eff*])", "name='a b','c,d'"),
    *("+x=[1,2],[3]", "++y={a:1},{a:2}", "data.limit=null,4", "determinism=order", "+z='it,s one'", "optimizer=tag(t,choice(adamw,sgd))"),
]


def by_hydra(overrides):
    with session():
        parsed = OverridesParser.create(catalogue("train").loader).parse_overrides(overrides)
        (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return batch


def ours(*overrides):
    with session():
        return expand("train", overrides)


@pytest.mark.parametrize("seed", range(20))
def test_jobs_are_those_of_hydra_in_its_order(seed):
    draw = random.Random(seed)
    keys = {text.partition("=")[0]: text for text in draw.sample(SWEEPS, len(SWEEPS))}  # one for each key
    overrides = draw.sample(list(keys.values()), 4)
    assert ours(*overrides) == by_hydra(overrides)


def test_what_does_not_sweep_stays_as_it_was_typed():
    assert ours("optimizer.lr=1e-3", "~scheduler.warmup", "seed=1,2") == [
        ["optimizer.lr=1e-3", "~scheduler.warmup", "seed=1"],
        ["optimizer.lr=1e-3", "~scheduler.warmup", "seed=2"],
    ]


def test_without_a_sweep_there_is_one_job():
    assert ours("seed=3") == [["seed=3"]]
    assert ours() == [[]]


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("optimizer.lr=interval(0,1)", r"an interval has no end of values.*; optimizer.lr=interval\(0,1\); fix: optimizer.lr=a,b,c"),
        ("seed=range(3,3)", "the sweep has no values; seed=range"),
        ("backbone=glob(nothing*)", "the sweep has no values; backbone=glob"),
        ("seed=1,[", r"the override 'seed=1,\[' can't be read"),
    ],
)
def test_what_cannot_be_listed_is_refused(override, text):
    with pytest.raises(ConfigError, match=text):
        ours(override)
