"""What a sweep's jobs were composed to, kept in its folder: the same command again composes only what it starts.

A row holds for the overrides, the config files, the packages and the variables of the environment that it was made with; a
change of one of them makes it unknown, and the jobs are composed again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import segexp
from segexp.catalogue import SEARCHPATH
from segexp.config import conf_dir, plugin_folders
from segexp.errors import SegexpError
from segexp.functional.files import read_json, write_json
from segexp.runs.directory import RunDirectory
from segexp.sweeps.jobs import Job, composed
from segexp.sweeps.sweep import Sweep, slug, varied

PACKAGES = ("segexp", "hydra-core", "omegaconf")
CODE = (
    "config.py",
    "catalogue.py",
    "overrides.py",
    "presets.py",
    "runs/identity.py",
    "runs/directory.py",
    "runs/settings.py",
    "sweeps/jobs.py",
)


def jobs_of(listed: Sequence[list[str]]) -> list[Job]:
    """The jobs of lists of overrides, those that are known without composing them (see `fill`).

    Works inside `segexp.config.session`.
    """
    first = composed(1, listed[0])
    rows = _rows(first, listed) if first.directory and len(listed) > 1 else {}
    found = [first]
    for number, own in enumerate(listed[1:], 2):
        row = rows.get("\n".join(own))
        found.append(composed(number, own) if row is None else _job(number, own, first.run, row))
    return found


def keep(whole: Sweep) -> None:
    """Write down what the jobs of a sweep were composed to; those that don't compose are tried again."""
    rows = {
        "\n".join(job.overrides): {"run": os.path.relpath(job.run.path, whole.outputs), "settings": job.settings}
        for job in whole.jobs
        if job.directory
    }
    path = whole.folder / _name([job.overrides for job in whole.jobs])
    if not path.exists():
        for old in whole.folder.glob("composed-*.json"):
            old.unlink()
        write_json(path, rows)


def fill(job: Job) -> None:
    """Compose a job that is to start, if it was only known."""
    if not job.config:
        made = composed(job.number, job.overrides)
        made.twin, made.log = job.twin, job.log
        vars(job).update(vars(made))


def _job(number: int, overrides: list[str], first: RunDirectory, row: dict[str, Any]) -> Job:
    return Job(number, overrides, RunDirectory(first.path.parent.parent / row["run"]), settings=row["settings"])


def _rows(first: Job, listed: Sequence[list[str]]) -> dict[str, Any]:
    """What is known of these jobs; nothing where one of them could be in another outputs folder."""
    sweeps = first.run.path.parent / "sweeps"
    for path in sweeps.glob(f"{slug(varied(listed))}-*/{_name(listed)}"):
        with suppress(SegexpError, OSError, ValueError):
            return read_json(path)
    return {}


def _name(listed: Sequence[list[str]]) -> str:
    digest = hashlib.sha256()
    for part in ("\n".join(map("\n".join, listed)), *_surroundings([text for own in listed for text in own])):
        digest.update(part.encode() + b"\0")
    return f"composed-{digest.hexdigest()[:16]}.json"


def _surroundings(overrides: Sequence[str]) -> list[str]:
    """What a composed config depends on beside its overrides, as texts."""
    places = {text.partition("=")[2] for text in overrides if text.lstrip("+").startswith(SEARCHPATH)}
    folders = [
        conf_dir(),
        *(folder for _, folder in plugin_folders()),
        *(Path(name) for place in places for name in place.strip("[]").split(",")),
    ]
    files = [path for folder in folders for path in sorted(folder.rglob("*.yaml"))]
    code = [Path(segexp.__file__).parent / name for name in CODE]
    texts = [path.read_text(encoding="utf-8") for path in (*files, *code)]
    names = sorted({name for text in (*texts, *overrides) for name in re.findall(r"oc\.env:\s*(\w+)", text)})
    return [
        *(f"{path}\n{text}" for path, text in zip((*files, *code), texts, strict=True)),
        *(f"{name}={os.environ.get(name)}" for name in names),
        *(f"{name} {version(name)}" for name in PACKAGES),
        str(Path.cwd()),
    ]
