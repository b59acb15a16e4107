"""The launchers by the `kind` of their section, and what a loop wants of one and of what starts its processes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from segexp.config import complete
from segexp.errors import ConfigError
from segexp.sweeps.jobs import Job
from segexp.sweeps.processes import Process

if TYPE_CHECKING:
    from segexp.sweeps.source import Source
    from segexp.sweeps.sweep import Sweep
    from segexp.sweeps.table import Display

LAUNCHERS = {
    "process": "segexp.sweeps.process.ProcessLauncher",
    "slurm": "segexp.sweeps.slurm.launcher.SlurmLauncher",
    "ray": "segexp.sweeps.ray.launcher.RayLauncher",
}


class Launcher(Protocol):
    """Runs the jobs of a sweep somewhere.

    Attributes:
        jobs: how many at a time.
        slots: how many a loop hands over at a time; more than `jobs` where something else keeps the others waiting.
        ahead: are the jobs that wait to be looked at meanwhile?
        time_limit: seconds after which the loop asks a job to stop, or None.
        grace: seconds between asking a process to stop and killing it.
    """

    jobs: int
    slots: int
    ahead: bool
    time_limit: float | None
    grace: float

    def threads_of(self, job: Job) -> int:
        """Threads of each of a job's processes, where its config doesn't say."""
        ...

    def environment(self, slot: int) -> dict[str, str]:
        """The variables of the process in a slot, from 0."""
        ...

    def launch(self, sweep: Sweep, source: Source, display: Display) -> str | None:
        """Run jobs until each has its last state, or a signal asks to stop; returns the signal."""
        ...


class Starts(AbstractContextManager["Starts"], Protocol):
    """Starts processes; entered for as long as they are looked after.

    Attributes:
        detaches: do its jobs go on without this process?
    """

    detaches: bool

    @property
    def ready(self) -> bool:
        """Would a start begin at once?"""
        ...

    @property
    def news(self) -> bool:
        """Was the end of a process told since `hush`?"""
        ...

    @property
    def pause(self) -> float:
        """Seconds until `receive` wants to be called although nothing became readable."""
        ...

    def hush(self) -> None:
        """What has been told is known."""
        ...

    def fileno(self) -> int | None:
        """What becomes readable when there is news for `receive`; None where there is never any."""
        ...

    def receive(self) -> None:
        """Take in what there is to be known of the processes."""
        ...

    def start(self, document: Mapping[str, Any], output: Path, job: Job) -> Process:
        """Start a job, at the latest with `flush`; `document` and `output` as in `FreshProcess`."""
        ...

    def flush(self) -> None:
        """Start what was only noted."""
        ...

    def farewell(self) -> str:
        """What to say of jobs that go on without us."""
        ...


def launcher(section: Mapping[str, Any]) -> Launcher:
    """The launcher of a section.

    Raises:
        ConfigError: its settings make no sense.
    """
    settings = dict(section)
    module, _, name = LAUNCHERS[settings.pop("kind")].rpartition(".")
    return complete(getattr(importlib.import_module(module), name), **settings)


# ------------------------------------------------------------------------------------------------ settings of launchers


def whole(name: str, value: object, *, none: bool = False) -> None:
    """Refuse a setting that is no whole number from 1."""
    if not (none and value is None) and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ConfigError(f"{name} must be a whole number from 1", where=f"launcher.{name}={value}", fix=f"launcher.{name}=1")


def positive(name: str, value: object, unit: str = "seconds", *, none: bool = False) -> None:
    """Refuse a setting that is no number above 0."""
    if not (none and value is None) and (not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0):
        raise ConfigError(f"{name} must be a number of {unit}", where=f"launcher.{name}={value}", fix=f"launcher.{name}=60")


def devices(job: Job) -> int:
    """How many devices of one node a job wants."""
    wanted = job.settings["trainer"]["devices"]
    return len(wanted) if isinstance(wanted, list) else wanted
