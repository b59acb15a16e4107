"""Nothing that ships is refused: every option of every group by names, keys and types; every model as a chain."""

import pytest

from segexp.catalogue import catalogue
from segexp.check.rest import Rest
from segexp.check.values import wrong_values
from segexp.config import compose, session
from segexp.overrides import groups, options

NEEDED = {  # what a user has to say of an option
    "data": ("data.root=somewhere",),
    "backbone": ("backbone.name=resnet18",),
}
PRESETS = ("experiment", "model", "task", "debug")


@pytest.fixture(scope="module", autouse=True)
def one_session():
    with session():
        yield


def overrides_of(group, option):
    content = catalogue("train").keys_of(group, option)
    missing = [text for text in NEEDED.get(group, ()) if content.get(text.partition("=")[0].partition(".")[2]) == "???"]
    return [f"{group}=[{option}]" if group == "metrics" else f"{group}={option}", *missing]


def every_option():
    with session():
        return [(group, option) for group in groups() for option in options(group)]


@pytest.mark.parametrize(("group", "option"), every_option())
def test_names_keys_and_types(group, option):
    assert wrong_values(compose("train", overrides_of(group, option))) == []


def models():
    with session():
        return [name for name in options("model") if name != "none"]


@pytest.mark.parametrize("model", models())
def test_every_model_is_a_chain(model):
    config = compose("train", [f"model={model}", "monitor=null"])
    assert [one for one in Rest(data=False)(config) if not one.warning] == []
