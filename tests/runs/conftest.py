"""A run that nothing disturbed, and the folders that kills at several moments of it would have left."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.runs.planned import MOMENTS, copies_to, ending, hurry, run


@dataclass
class Whole:
    """The undisturbed run.

    Args:
        folder: of the run.
        ending: what it ended with.
        left: moment -> outputs folder that a kill then would have left.
    """

    folder: Path
    ending: dict[str, Any]
    left: dict[str, Path]


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    place = tmp_path_factory.mktemp("whole")
    left = {moment: place / f"killed-{number}" for number, moment in enumerate(MOMENTS)}
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        done = run(place / "outputs", plan={MOMENTS[moment]: copies_to(folder) for moment, folder in left.items()})
    return Whole(done.directory.path, ending(done.directory.path), left)


@pytest.fixture
def killed(whole, tmp_path):
    """moment -> a fresh copy of what a kill at that moment left, as an outputs folder."""

    def copy(moment="between two checkpoints"):
        return shutil.copytree(whole.left[moment], tmp_path / "outputs")

    return copy


@pytest.fixture
def quick(monkeypatch):
    """Without pages, and without waiting for the disk; a kill of the process needs neither."""
    hurry(monkeypatch)
