"""The launcher of this machine: so many processes at a time, each with its share of the cores."""

from __future__ import annotations

import os
from collections.abc import Sequence

from segexp.errors import ConfigError
from segexp.sweeps.jobs import Job
from segexp.sweeps.loop import Loop
from segexp.sweeps.starter import SPAWNS, Starter
from segexp.sweeps.sweep import Sweep
from segexp.sweeps.table import Display
from segexp.sweeps.wakeup import Wakeup


class ProcessLauncher:
    """Runs the jobs of a sweep in processes of their own.

    Args:
        jobs: how many at a time.
        cores: shared out among them, so that each has cores / jobs threads; None for all that this process may use.
        time_limit: seconds of one job; None for no limit.
        grace: seconds between asking a process to stop and killing it.
        spawn: `fork`, `fresh` or `auto`. A fork has the environment of the server's start: what libraries read when they are
            imported (`PYTORCH_*`, `MKL_*`, `LD_PRELOAD`) is the same for all jobs then.
        gpus: device ids; the k-th process at a time sees the k-th of them alone.

    Raises:
        ConfigError: a value makes no sense.
    """

    def __init__(
        self,
        *,
        jobs: int = 1,
        cores: int | None = None,
        time_limit: float | None = None,
        grace: float = 60.0,
        spawn: str = "auto",
        gpus: Sequence[int | str] | None = None,
    ) -> None:
        _whole("jobs", jobs)
        _whole("cores", cores, none=True)
        _seconds("time_limit", time_limit, none=True)
        _seconds("grace", grace)
        if spawn not in SPAWNS:
            raise ConfigError("no such way to start a process", where=f"launcher.spawn={spawn}", fix=f"launcher.spawn={'|'.join(SPAWNS)}")
        if gpus is not None and (isinstance(gpus, str) or not isinstance(gpus, Sequence) or not gpus):
            raise ConfigError("the devices must be a list", where=f"launcher.gpus={gpus}", fix="launcher.gpus=[0,1]")
        self.jobs, self.grace, self.time_limit, self.spawn, self.gpus = jobs, grace, time_limit, spawn, gpus
        self.threads = max(1, (cores or usable_cores()) // jobs)

    def environment(self, slot: int) -> dict[str, str]:
        """The variables of the process in a slot, from 0."""
        return {"CUDA_VISIBLE_DEVICES": str(self.gpus[slot % len(self.gpus)])} if self.gpus else {}

    def launch(self, sweep: Sweep, jobs: Sequence[Job], display: Display) -> str | None:
        """Run jobs until each has its last state, or a signal asks to stop.

        Returns:
            The signal; None if none came.
        """
        logs = sweep.folder / "jobs"
        logs.mkdir(exist_ok=True)
        starter = Starter(self.spawn, several=len(jobs) > 1, grace=self.grace, log=logs / "server.txt", note=display.note)
        with Wakeup() as wakeup, starter:
            return Loop(self, sweep, jobs, display, wakeup, starter).run()


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _whole(name: str, value: object, *, none: bool = False) -> None:
    if not (none and value is None) and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ConfigError(f"{name} must be a whole number from 1", where=f"launcher.{name}={value}", fix=f"launcher.{name}=1")


def _seconds(name: str, value: object, *, none: bool = False) -> None:
    if not (none and value is None) and (not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0):
        raise ConfigError(f"{name} must be a number of seconds", where=f"launcher.{name}={value}", fix=f"launcher.{name}=60")
