"""A run that nothing disturbed, what kills at several moments of it would have left, and a server of processes to be killed."""

import shutil

import pytest

from tests.runs.conftest import killed, quick, whole

__all__ = ["bench", "killed", "neighbour", "quick", "whole"]


@pytest.fixture
def neighbour(whole, tmp_path):
    """An outputs folder with a run that is done, of another seed than those that fail beside it."""
    outputs = tmp_path / "outputs"
    shutil.copytree(whole.folder, outputs / "default" / whole.folder.name)
    return outputs


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    """Where processes are killed at chosen calls, and the undisturbed run that they are compared with."""
    from tests.e2e.test_kills import SHORT
    from tests.soak.bench import short_bench

    with short_bench(tmp_path_factory.mktemp("bench"), SHORT) as made:
        yield made
