"""The published models of `segexp.published`: overrides give them, with as many parameters as the published code has."""

import pytest

from segexp.build import checked
from segexp.config import compose, session
from segexp.published import PUBLISHED
from segexp.types import ClassInfo, DataSpec


@pytest.fixture(scope="module", autouse=True)
def _one_session():
    with session():
        yield


@pytest.mark.parametrize("row", PUBLISHED, ids=[row.name for row in PUBLISHED])
def test_parameters_are_those_of_the_published_code(row):
    spec = DataSpec(tuple(ClassInfo(str(i), i % 2 == 1) for i in range(row.classes)), frozenset({"segments"}))
    model = checked(compose("train", list(row.overrides)), spec).model
    assert sum(p.numel() for p in model.parameters()) == row.parameters


def test_names_are_given_once():
    assert len({row.name for row in PUBLISHED}) == len(PUBLISHED)
