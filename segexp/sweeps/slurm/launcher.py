"""The launcher of a Slurm cluster: jobs are submitted at once, go on without this process, and are found again by the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segexp.errors import ConfigError
from segexp.sweeps.jobs import Job
from segexp.sweeps.launchers import positive, whole
from segexp.sweeps.loop import Loop
from segexp.sweeps.slurm.starter import SlurmStarter
from segexp.sweeps.source import Source
from segexp.sweeps.sweep import Sweep
from segexp.sweeps.table import Display
from segexp.sweeps.wakeup import Wakeup

# not to be given as extra
OWN = ("nodes", "ntasks", "ntasks-per-node", "array", "signal", "output", "error", "open-mode", "requeue", "no-requeue")
TEXTS = ("partition", "account", "qos", "constraint", "gres", "python")


class SlurmLauncher:
    """Runs the jobs of a sweep as array jobs of Slurm.

    Args:
        jobs: of an array, at a time.
        partition, account, qos, constraint, gres: as of sbatch.
        gpus: ask for one GPU per device, unless the job's accelerator is the CPU or `gres` is given.
        cpus_per_task: cores of each rank, and so its threads.
        mem_gb: memory of a node.
        minutes: the time limit of one start.
        signal_seconds: before the limit, when the job is asked to save its state.
        requeues: how often a job queues itself again.
        setup: lines of shell before the job.
        python: the command of the interpreter; this one unless given.
        extra: more options of sbatch.
        poll: seconds between two looks at the queue.

    Raises:
        ConfigError: a value makes no sense.
    """

    slots = 10**6  # all that are to be had: what may run at a time is the array's affair
    ahead = False
    time_limit = None  # the cluster's affair, too
    grace = 60.0

    def __init__(
        self,
        *,
        jobs: int = 8,
        partition: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        gpus: bool = True,
        gres: str | None = None,
        cpus_per_task: int = 4,
        mem_gb: float | None = None,
        minutes: int = 720,
        signal_seconds: int = 120,
        requeues: int = 20,
        setup: Sequence[str] = (),
        python: str | None = None,
        extra: Mapping[str, Any] | None = None,
        poll: float = 10.0,
    ) -> None:
        for name, value in {"jobs": jobs, "cpus_per_task": cpus_per_task, "minutes": minutes, "signal_seconds": signal_seconds}.items():
            whole(name, value)
        positive("mem_gb", mem_gb, "GB", none=True)
        positive("poll", poll)
        if not isinstance(requeues, int) or isinstance(requeues, bool) or requeues < 0:
            raise ConfigError("requeues must be a whole number from 0", where=f"launcher.requeues={requeues}", fix="launcher.requeues=20")
        if signal_seconds >= 60 * minutes:
            where = f"launcher.signal_seconds={signal_seconds}, launcher.minutes={minutes}"
            raise ConfigError("a job would be asked to stop before it begins", where=where, fix=f"launcher.signal_seconds={30 * minutes}")
        self.extra = {name.replace("_", "-"): value for name, value in (extra or {}).items()}
        if own := [name for name in self.extra if name in OWN]:
            fix = "leave it out: nodes and tasks follow from trainer.num_nodes and trainer.devices, the rest is settled"
            raise ConfigError(f"{', '.join(own)} is this launcher's affair", where=f"launcher.extra.{own[0]}", fix=fix)
        self.options = {"partition": partition, "account": account, "qos": qos, "constraint": constraint, "gres": gres}
        self.jobs, self.gpus, self.threads, self.mem_gb, self.minutes = jobs, gpus, cpus_per_task, mem_gb, minutes
        self.signal_seconds, self.requeues, self.setup, self.python, self.poll = signal_seconds, requeues, list(setup), python, poll

    def threads_of(self, job: Job) -> int:
        """What each rank has asked for."""
        return self.threads

    def environment(self, slot: int) -> dict[str, str]:
        """Slurm sets what there is to be set."""
        return {}

    def launch(self, sweep: Sweep, source: Source, display: Display) -> str | None:
        """Submit jobs, and look after them until each has its last state, or a signal comes: then they go on alone.

        Returns:
            The signal; None if none came.

        Raises:
            ConfigError: there is no Slurm here, or no submitit.
            SegexpError: sbatch refuses the jobs; says why.
        """
        with Wakeup() as wakeup, SlurmStarter(self, sweep.folder, display.note) as starter:
            return Loop(self, sweep, source, display, wakeup, starter).run()
