"""The launcher of a Ray cluster: each job is a process of its own on a machine of the cluster, or of a local one of this machine."""

from __future__ import annotations

from segexp.errors import ConfigError
from segexp.sweeps.jobs import Job
from segexp.sweeps.launchers import positive, whole
from segexp.sweeps.loop import Loop
from segexp.sweeps.ray.starter import RayStarter
from segexp.sweeps.source import Source
from segexp.sweeps.sweep import Sweep
from segexp.sweeps.table import Display
from segexp.sweeps.wakeup import Wakeup


class RayLauncher:
    """Runs the jobs of a sweep on a Ray cluster whose machines all see the outputs folder.

    Args:
        jobs: at a time; those for which there are no resources wait in Ray.
        address: of a cluster that runs; None for one of this machine alone, which ends with the sweep.
        cpus: cores of each rank, and so its threads.
        gpus: one for each device, unless the job's accelerator is the CPU.
        memory_gb: of a job.
        time_limit: seconds of one job from when it is handed over; None for no limit.
        grace: seconds between asking a process to stop and killing it.

    Raises:
        ConfigError: a value makes no sense.
    """

    ahead = False

    def __init__(
        self,
        *,
        jobs: int = 8,
        address: str | None = None,
        cpus: int = 1,
        gpus: bool = True,
        memory_gb: float | None = None,
        time_limit: float | None = None,
        grace: float = 60.0,
    ) -> None:
        whole("jobs", jobs)
        whole("cpus", cpus)
        positive("memory_gb", memory_gb, "GB", none=True)
        positive("time_limit", time_limit, none=True)
        positive("grace", grace)
        if address is not None and (not isinstance(address, str) or not address):
            raise ConfigError("address must be a text", where=f"launcher.address={address}", fix="launcher.address=auto")
        self.jobs = self.slots = jobs
        self.address, self.threads, self.gpus, self.memory_gb = address, cpus, gpus, memory_gb
        self.time_limit, self.grace = time_limit, grace

    def threads_of(self, job: Job) -> int:
        """What each rank has asked for."""
        return self.threads

    def environment(self, slot: int) -> dict[str, str]:
        """Ray says which GPUs a job sees."""
        return {}

    def launch(self, sweep: Sweep, source: Source, display: Display) -> str | None:
        """Run jobs until each has its last state, or a signal asks to stop.

        Returns:
            The signal; None if none came.

        Raises:
            ConfigError: there is no Ray or no such cluster.
        """
        with Wakeup() as wakeup, RayStarter(self, sweep.folder, display.note) as starter:
            return Loop(self, sweep, source, display, wakeup, starter).run()
