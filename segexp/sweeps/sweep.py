"""A sweep: its jobs, and the folder that says what has become of them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from segexp.errors import HeldError, SegexpError
from segexp.functional.files import read_json, write_json
from segexp.runs.directory import RunDirectory, probe
from segexp.runs.identity import DIGITS
from segexp.runs.lock import held
from segexp.sweeps.jobs import Job

SLUG_LENGTH = 60


class Sweep:
    """The jobs of a sweep and its folder, `<outputs>/<name>/sweeps/<slug>-<id>`.

    The slug names what varies. The id is a hash of the ids of the runs (of a job without one, of its overrides), so that it
    depends neither on the order of what was typed nor on settings that change no run. A search has a folder of its own
    making, and its jobs come one by one.

    Args:
        jobs: composed; without `folder` at least one of them has a run.
        command: as typed.
        folder: of a search.
        common: overrides that all jobs have; of those in `jobs` unless given.
        total: how many jobs there are to be; as many as in `jobs` unless given.
        search: what `sweep.json` says of a search.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        command: str,
        *,
        folder: Path | None = None,
        common: Sequence[str] | None = None,
        total: int | None = None,
        search: Mapping[str, Any] | None = None,
    ) -> None:
        self.jobs, self.command, self.search = list(jobs), command, search
        self.total = len(jobs) if total is None else total
        self._common = _common([job.overrides for job in jobs]) if common is None else set(common)
        self.folder = folder or _folder(jobs)
        for job in jobs:
            self._place(job)

    def add(self, job: Job) -> None:
        """Another job, behind the others."""
        self.jobs.append(job)
        self._place(job)

    def _place(self, job: Job) -> None:
        job.log = self.log(job) if job.directory else None

    @property
    def outputs(self) -> Path:
        """The folder of all runs of the first job's outputs."""
        return self.folder.parents[2]

    def label(self, job: Job) -> str:
        """The overrides in which a job differs from others; all of them in a sweep of one."""
        return " ".join(text for text in job.overrides if text not in self._common) or " ".join(job.overrides) or "(no overrides)"

    def log(self, job: Job) -> Path:
        """The file for what the process of a job prints."""
        return self.folder / "jobs" / f"{job.id}.txt"

    def write(self) -> None:
        """Write `sweep.json`: one row per job; paths are relative to the sweep's folder."""
        for job in self.jobs:
            if job.twin is not None:
                self._follow(job, self.jobs[job.twin - 1])
        unfinished = any(job.state in ("pending", "running") for job in self.jobs)
        rows = [self._row(job) for job in self.jobs]
        again = any(job.again for job in self.jobs)
        record = {"command": self.command, "again": again, "unfinished": unfinished or len(rows) < self.total, "jobs": rows}
        write_json(self.folder / "sweep.json", record | ({"search": self.search} if self.search else {}))

    def done_before(self) -> set[str]:
        """The runs that this sweep had done again when it was stopped: with run.again=true it goes on behind them."""
        path = self.folder / "sweep.json"
        with suppress(SegexpError):
            before = read_json(path) if path.exists() else {}
            stopped = before.get("unfinished") and before.get("again")
            return {row["run"] for row in before["jobs"] if row["state"] == "done"} if stopped else set()
        return set()

    def _follow(self, job: Job, twin: Job) -> None:
        job.state, job.cause, job.error = twin.state, twin.cause, twin.error

    def _row(self, job: Job) -> dict[str, Any]:
        return {
            "overrides": job.overrides,
            "run": job.id,
            "path": self._relative(job.directory.path if job.directory else None),
            "state": job.state,
            "cause": job.cause or None,
            "error": job.error or None,
            "log": self._relative(job.log),
            "same_as": job.twin,
        } | ({} if job.trial is None else {"trial": job.trial, "values": job.values or None})

    def _relative(self, path: Path | None) -> str | None:
        return None if path is None else os.path.relpath(path, self.folder)


@contextmanager
def mine(whole: Sweep) -> Iterator[None]:
    """Make a sweep's folder, and keep other drivers out of it.

    Raises:
        ConfigError: the outputs folder can't be written.
        HeldError: another process has the sweep.
    """
    probe(whole.outputs)
    (whole.folder / "jobs").mkdir(parents=True, exist_ok=True)
    try:
        with held(whole.folder / "lock"):
            yield
    except HeldError as error:
        raise HeldError(error.what.replace("this run", "this sweep"), where=error.where, fix=error.fix) from error


def find_twins(jobs: Sequence[Job]) -> None:
    """Mark the jobs whose run is that of an earlier one: it is started once."""
    seen: dict[Path, int] = {}
    for job in jobs:
        if isinstance(job.directory, RunDirectory):
            number = seen.setdefault(job.directory.path, job.number)
            job.twin = None if number == job.number else number


def _folder(jobs: Sequence[Job]) -> Path:
    first = next(job.directory for job in jobs if job.directory)
    return first.path.parent / "sweeps" / f"{slug(varied([job.overrides for job in jobs]))}-{_id(jobs)}"


def varied(listed: Sequence[Sequence[str]]) -> set[str]:
    """The overrides that not all jobs have, of those of each."""
    return set().union(*listed) - _common(listed)


def _common(listed: Sequence[Sequence[str]]) -> set[str]:
    return set.intersection(*map(set, listed))


def _id(jobs: Sequence[Job]) -> str:
    runs = sorted({job.id or " ".join(job.overrides) for job in jobs})
    return hashlib.sha256("\n".join(runs).encode()).hexdigest()[:DIGITS]


def slug(varied: Collection[str]) -> str:
    """What varies, such as `backbone-optimizer.lr`."""
    keys = sorted({re.split("[=@]", text.lstrip("+~"))[0] for text in varied})
    return re.sub(r"[^a-z0-9._]+", "-", "-".join(keys).lower()).strip("-.")[:SLUG_LENGTH].strip("-.") or "one"
