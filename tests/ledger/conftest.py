"""A run that is done, and copies of it that a test may spoil."""

import shutil

import pytest

from tests.runs.conftest import quick, whole  # noqa: F401
from tests.runs.planned import folder_of


@pytest.fixture
def copied(whole, tmp_path):  # noqa: F811
    """The folder of a copy of a run that is done, in outputs of its own."""
    shutil.copytree(whole.folder.parent, tmp_path / "outputs" / "default")
    return folder_of(tmp_path / "outputs")
