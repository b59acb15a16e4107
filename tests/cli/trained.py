"""A run that tests of commands read."""

from pathlib import Path

import pytest

from segexp.cli.main import main


def trained(place: Path, words: list[str]) -> Path:
    """Train in a folder of its own, and the run's directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert main(["train", *words, f"paths.outputs={place}/outputs"]) == 0
    (folder,) = (p.parent for p in place.glob("outputs/default/*/result.json"))
    return folder
