"""Finding the directory of a run that a user named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from segexp.errors import ConfigError
from segexp.runs.directory import RUN, RunDirectory
from segexp.runs.identity import DIGITS


def find(run: str, outputs: Path) -> RunDirectory:
    """The directory of a run that a user named.

    Args:
        run: a directory, its name, an id, or the first 4 or more digits of one.
        outputs: where runs are, as `<outputs>/<name>/<slug>-<id>`.

    Raises:
        ConfigError: there is none, there are several, or the directory isn't a run's.
    """
    if Path(run).is_dir():
        return _checked(Path(run))
    folders = _run_folders(Path(outputs))
    found = [folder for folder in folders if run in (folder.name, folder.name[-DIGITS:])]
    if not found and re.fullmatch(rf"[0-9a-f]{{4,{DIGITS - 1}}}", run):
        found = [folder for folder in folders if folder.name[-DIGITS:].startswith(run)]
    if len(found) == 1:
        return _checked(found[0])
    if found:
        raise ConfigError(f"{len(found)} runs are called {run}", where=_listed(found), fix="give more digits, or the directory")
    near = _near(run, folders)
    raise ConfigError(
        f"there is no run {run}",
        where=f"{outputs} holds {len(folders)} runs" + (f", such as {_listed(near)}" if near else ""),
        fix="give a run's directory, its id, or the first 4 digits of it" if folders else "paths.outputs=<folder that holds the runs>",
    )


def _run_folders(outputs: Path) -> list[Path]:
    if not outputs.is_dir():
        return []
    return sorted(f for name in outputs.iterdir() if name.is_dir() for f in name.iterdir() if RUN.fullmatch(f.name) and f.is_dir())


def _near(run: str, folders: Sequence[Path]) -> list[Path]:
    by_text = {text: folder for folder in folders for text in (folder.name, folder.name[-DIGITS:])}
    near = [by_text[text] for text in get_close_matches(run, by_text, n=3, cutoff=0.5)]
    return list(dict.fromkeys(near)) or list(folders[:3])


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders[:4])) + (f" and {len(folders) - 4} more" if len(folders) > 4 else "")


def _checked(path: Path) -> RunDirectory:
    run = RunDirectory(path)
    if not run.config.is_file():
        raise ConfigError(
            "the directory isn't a run's: it has no config.yaml", where=str(path), fix="give the directory of a run, or an id"
        )
    return run
