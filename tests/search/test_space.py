"""What may be drawn: read from overrides and from `sweep.space`, ordered by its conditions."""

import pytest

from segexp.config import session
from segexp.errors import ConfigError
from segexp.search.draw import holds
from segexp.search.space import Dimension, space, split

NOTHING = {"space": None, "when": None}


@pytest.fixture(autouse=True)
def opened():
    with session():
        yield


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("seed=1,2,2", Dimension("seed", ("1", "2"))),
        ("optimizer.lr=interval(0,1)", Dimension("optimizer.lr", low=0.0, high=1.0)),
        ("optimizer.lr=tag(log,interval(1e-4,1e-1))", Dimension("optimizer.lr", low=1e-4, high=1e-1, log=True)),
        ("seed=int(interval(1,8))", Dimension("seed", low=1, high=8)),
        ("seed=range(1,10,3)", Dimension("seed", low=1, high=7, step=3)),
        ("head.dropout=range(0,1,0.25)", Dimension("head.dropout", low=0.0, high=0.75, step=0.25)),
        ("+new.key=choice(a,b)", Dimension("+new.key", ("a", "b"))),
    ],
)
def test_what_is_typed_is_what_is_drawn(typed, meant):
    common, found = split(["name=x", typed])
    assert (common, found) == (["name=x"], [meant])
    assert isinstance(found[0].low, type(meant.low))


def test_a_condition_makes_another_parameter_and_comes_behind_what_decides_of_it():
    typed = split(["optimizer.momentum=interval(0,1)", "optimizer=adamw,sgd"])[1]
    listed = {"optimizer=sgd/optimizer.lr": "interval(0.1,1)", "optimizer=adamw/optimizer.lr": "interval(0.001,0.01)"}
    found = space([], typed, {"space": listed, "when": {"optimizer": {"momentum": "optimizer=sgd"}}})
    assert [d.name for d in found] == [
        "optimizer",
        "optimizer=sgd/optimizer.momentum",
        "optimizer=sgd/optimizer.lr",
        "optimizer=adamw/optimizer.lr",
    ]


def test_what_is_given_is_not_drawn():
    section = {"space": {"seed": "1,2", "optimizer": {"lr": "interval(0,1)"}}, "when": None}
    assert [d.key for d in space(["seed=1"], [], section)] == ["optimizer.lr"]


def test_conditions_that_wait_for_each_other_are_refused():
    typed = split(["seed=0,1", "data.fold=0,1"])[1]
    with pytest.raises(ConfigError, match=r"conditions that wait for each other; sweep\.when\.seed"):
        space([], typed, {"space": None, "when": {"seed": "data.fold=0", "data.fold": "seed=0"}})


def test_a_swept_list_with_log_is_refused():
    with pytest.raises(ConfigError, match=r"only an interval is drawn by magnitude; seed=tag\(log,choice\(1,2\)\)"):
        split(["seed=tag(log,choice(1,2))"])


def test_a_condition_is_looked_up_in_draws_then_in_what_they_compose_to():
    assert holds("optimizer=sgd", ["optimizer=sgd"])
    assert not holds("optimizer=sgd", [])
    assert holds("optimizer=sgd|adamw", [])  # the default
    assert holds("seed=0", [])
    assert holds("head=semantic", ["model=none"])


def test_texts_of_overrides_are_values_of_what_may_be_drawn():
    assert Dimension("a", low=1, high=8).parsed("3") == 3
    assert Dimension("a", low=1, high=8).parsed("9") is None
    assert Dimension("a", low=0.0, high=1.0).parsed("1e-3") == 0.001
    assert Dimension("a", ("x", "y")).parsed("z") is None
    assert Dimension("a", low=1, high=8).parsed("x") is None
