"""The launcher of this machine: so many processes at a time, each with its share of the cores."""

from __future__ import annotations

from collections.abc import Sequence

from segexp.errors import ConfigError
from segexp.functional.interpreters import usable_cores
from segexp.sweeps.jobs import Job
from segexp.sweeps.launchers import devices, positive, whole
from segexp.sweeps.loop import Loop
from segexp.sweeps.source import Source
from segexp.sweeps.starter import SPAWNS, Starter
from segexp.sweeps.sweep import Sweep
from segexp.sweeps.table import Display
from segexp.sweeps.wakeup import Wakeup


class ProcessLauncher:
    """Runs the jobs of a sweep in processes of their own.

    Args:
        jobs: how many at a time.
        cores: shared out among them, so that each has cores / jobs threads (its ranks together); None for all that this process may use.
        time_limit: seconds of one job; None for no limit.
        grace: seconds between asking a process to stop and killing it.
        spawn: `fork`, `fresh` or `auto`. A fork has the environment of the server's start: what libraries read when they are
            imported (`PYTORCH_*`, `MKL_*`, `LD_PRELOAD`) is the same for all jobs then.
        gpus: device ids; the k-th process at a time sees the k-th of them alone.
        ahead: look at the jobs that wait, in a process beside the first ones: what can't run isn't started.

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
        ahead: bool = True,
    ) -> None:
        whole("jobs", jobs)
        whole("cores", cores, none=True)
        positive("time_limit", time_limit, none=True)
        positive("grace", grace)
        if spawn not in SPAWNS:
            raise ConfigError("no such way to start a process", where=f"launcher.spawn={spawn}", fix=f"launcher.spawn={'|'.join(SPAWNS)}")
        if gpus is not None and (isinstance(gpus, str) or not isinstance(gpus, Sequence) or not gpus):
            raise ConfigError("the devices must be a list", where=f"launcher.gpus={gpus}", fix="launcher.gpus=[0,1]")
        self.jobs, self.grace, self.time_limit, self.spawn, self.gpus, self.ahead = jobs, grace, time_limit, spawn, gpus, ahead
        self.slots = jobs
        self.threads = max(1, (cores or usable_cores()) // jobs)

    def threads_of(self, job: Job) -> int:
        """A job's share of the cores, shared out among its ranks."""
        return max(1, self.threads // devices(job))

    def environment(self, slot: int) -> dict[str, str]:
        """The variables of the process in a slot, from 0."""
        return {"CUDA_VISIBLE_DEVICES": str(self.gpus[slot % len(self.gpus)])} if self.gpus else {}

    def launch(self, sweep: Sweep, source: Source, display: Display) -> str | None:
        """Run jobs until each has its last state, or a signal asks to stop.

        Returns:
            The signal; None if none came.
        """
        logs = sweep.folder / "jobs"
        logs.mkdir(exist_ok=True)
        starter = Starter(self.spawn, several=source.several, grace=self.grace, log=logs / "server.txt", note=display.note)
        with Wakeup() as wakeup, starter:
            return Loop(self, sweep, source, display, wakeup, starter).run()
