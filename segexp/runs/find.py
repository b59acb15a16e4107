"""Finding runs: the directory of one that a user named, or all of a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from segexp.errors import ConfigError, SegexpError
from segexp.functional.files import read_json
from segexp.runs.directory import RUN, RunDirectory
from segexp.runs.identity import DIGITS

SWEEP = "sweep.json"


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
    folders = run_folders(Path(outputs)) if Path(outputs).is_dir() else []
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


def run_folders(folder: Path) -> list[Path]:
    """The runs of an outputs folder, an experiment's, a sweep's, or the one that the folder is, by name.

    Raises:
        ConfigError: there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(
            "there is no such folder", where=str(folder), fix="give outputs, an experiment, a sweep, or paths.outputs=<folder>"
        )
    if (folder / SWEEP).is_file():
        return _of_sweep(folder)
    if _is_run(folder):
        return [folder]
    found: list[Path] = []
    for entry in _folders(folder):
        inner = Path(entry.path)
        if RUN.fullmatch(entry.name):
            found += [inner] if _is_run(inner) else []
        else:
            found += [path for deep in _folders(inner) if RUN.fullmatch(deep.name) and _is_run(path := Path(deep.path))]
    return found


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if entry.is_dir()), key=lambda entry: entry.name)
    except OSError:  # not ours to read
        return []


def _is_run(folder: Path) -> bool:
    return bool(RUN.fullmatch(folder.name)) and any((folder / name).exists() for name in ("status.json", "manifest.json", "config.yaml"))


def _of_sweep(folder: Path) -> list[Path]:
    try:
        places = [job["path"] for job in read_json(folder / SWEEP)["jobs"] if job["path"] and isinstance(job["path"], str)]
    except (SegexpError, KeyError, TypeError):  # `verify` tells of it
        return []
    paths = dict.fromkeys(Path(os.path.normpath(folder / place)) for place in places)
    return [path for path in paths if path.is_dir()]


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
