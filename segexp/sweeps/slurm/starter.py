"""Submitting jobs to Slurm, and looking at them there.

`slurm.json` in the sweep's folder says which job of Slurm has which run. A driver that starts while one of them is queued or
runs attaches to it; so nothing is submitted twice, and the one before may have left at any time.
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from segexp.allow import allowed
from segexp.errors import ConfigError, SegexpError
from segexp.functional.files import read_json, write_json
from segexp.sweeps.jobs import Job
from segexp.sweeps.launchers import devices
from segexp.sweeps.slurm.client import ENDINGS, cancel, ending, states

if TYPE_CHECKING:
    from submitit import SlurmExecutor

    from segexp.sweeps.slurm.launcher import SlurmLauncher

CHUNK = 1000  # jobs of an array: what Slurm allows unless a site has changed it


@dataclass(frozen=True)
class Wants:
    """What a job wants of a cluster; jobs that want the same are one array."""

    nodes: int
    tasks: int  # of a node
    gpus: int  # of a node


class SlurmProcess:
    """A job of Slurm.

    Args:
        job: of the sweep.
        number: Slurm's, once it is known.
    """

    def __init__(self, job: Job, number: str = "") -> None:
        self.job, self.number = job, number
        self.code: int | None = None
        self.why: str | None = None
        self.state = "PENDING"
        self.lost = 0  # looks in a row at which Slurm didn't know it

    @property
    def waits(self) -> bool:
        return self.state == "PENDING"

    def poll(self) -> int | None:
        return self.code

    def kill(self, number: int) -> None:
        cancel(self.number, signal.Signals(number).name)

    def destroy(self) -> None:
        cancel(self.number)


class SlurmStarter:
    """Submits jobs; entered for as long as they are looked after.

    Args:
        launcher: the settings.
        folder: of the sweep; all nodes must see it.
        note: called with a line for the user.

    Raises:
        ConfigError: on entering: there is no Slurm here, or no submitit.
    """

    detaches = True
    ready = True

    def __init__(self, launcher: SlurmLauncher, folder: Path, note: Callable[[str], None]) -> None:
        self.launcher, self.folder, self.note = launcher, folder.absolute() / "slurm", note
        self.processes: list[SlurmProcess] = []
        self.noted: list[tuple[Wants, dict[str, Any], SlurmProcess]] = []
        self.news = False
        self.next = 0.0
        self.silent = False

    def __enter__(self) -> Self:
        require_slurm()
        self.folder.mkdir(exist_ok=True)
        self.numbers: dict[str, str] = {}
        with suppress(SegexpError, FileNotFoundError):
            self.numbers = read_json(self.record)
        known = states(set(self.numbers.values()))
        if known is None:
            raise SegexpError("Slurm doesn't answer", where="squeue", fix="the same command, once it does")
        self.queued = {number: state for number, state in known.items() if state not in ENDINGS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    @property
    def record(self) -> Path:
        return self.folder.parent / "slurm.json"

    @property
    def pause(self) -> float:
        return max(0.0, self.next - time.monotonic()) if any(process.code is None for process in self.processes) else inf

    def hush(self) -> None:
        self.news = False

    def fileno(self) -> int | None:
        return None

    # ------------------------------------------------------------------------------------------ submitting

    def start(self, document: Mapping[str, Any], output: Path, job: Job) -> SlurmProcess:
        """Attach to a job that Slurm has already, or note it for the next array."""
        process = SlurmProcess(job)
        if (number := self.numbers.get(job.run.id, "")) in self.queued:
            process.number, process.state = number, self.queued[number]
            self.note(f"job {job.number} is {number} of Slurm already: {process.state}")
            self.processes.append(process)
            return process
        told = {"output": str(output.absolute()), "requeues": self.launcher.requeues, "path": _path(), "allow": allowed()}
        self.noted.append((self._wants(job), {**document, **told}, process))
        return process

    def flush(self) -> None:
        """Submit what was noted.

        Raises:
            SegexpError: sbatch refuses it; says why.
        """
        noted, self.noted = self.noted, []
        for wants in dict.fromkeys(wants for wants, *_ in noted):
            alike = [(document, process) for other, document, process in noted if other == wants]
            for first in range(0, len(alike), CHUNK):
                self._submit(wants, alike[first : first + CHUNK])

    def _wants(self, job: Job) -> Wants:
        trainer, count = job.settings["trainer"], devices(job)
        gpus = count if self.launcher.gpus and trainer["accelerator"] != "cpu" and not self.launcher.options["gres"] else 0
        return Wants(trainer["num_nodes"], count, gpus)

    def _submit(self, wants: Wants, jobs: list[tuple[dict[str, Any], SlurmProcess]]) -> None:
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        from segexp.sweeps.slurm.job import run

        executor = self._executor(wants)
        try:
            with executor.batch():
                made = [executor.submit(run, document) for document, _ in jobs]
        except (FailedJobError, FailedSubmissionError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            said = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1])
            raise SegexpError(f"sbatch refuses the jobs: {said}", where=str(self.folder), fix=FIX) from error
        for (_, process), one in zip(jobs, made, strict=True):
            process.number = one.job_id
            self.numbers[process.job.run.id] = one.job_id
            self.processes.append(process)
        write_json(self.record, self.numbers)
        array = made[0].job_id.partition("_")[0]
        self.note(f"{len(jobs)} {'jobs' if len(jobs) > 1 else 'job'} submitted: squeue -j {array}")

    def _executor(self, wants: Wants) -> SlurmExecutor:
        from submitit import SlurmExecutor

        launcher = self.launcher
        own = {"signal": f"USR2@{launcher.signal_seconds}", "requeue": True}  # no B: it is for the ranks, not for the script
        options: dict[str, Any] = {key: value for key, value in launcher.options.items() if value is not None}
        options |= {"gpus_per_node": wants.gpus} if wants.gpus else {}
        options |= {"mem": f"{round(1024 * launcher.mem_gb)}M"} if launcher.mem_gb else {}
        executor = SlurmExecutor(folder=self.folder, python=launcher.python)
        executor.update_parameters(
            job_name=f"segexp-{self.folder.parent.name}",
            time=launcher.minutes,
            nodes=wants.nodes,
            ntasks_per_node=wants.tasks,
            cpus_per_task=launcher.threads,
            array_parallelism=launcher.jobs,
            setup=launcher.setup or None,
            wckey=None,  # a cluster that has none would refuse submitit's
            # srun doesn't take cores from the job; and the first rank has things to write when the others have left, whatever a site's rule
            srun_args=["--kill-on-bad-exit=1", "--wait=600", "--distribution=block", f"--cpus-per-task={launcher.threads}"],
            additional_parameters=own | launcher.extra,
            **options,
        )
        return executor

    # ------------------------------------------------------------------------------------------ looking

    def receive(self) -> None:
        """Look at the queue, if it is time to."""
        if self.pause or not (open_ := [process for process in self.processes if process.code is None]):
            return
        self.next = time.monotonic() + self.launcher.poll
        found = states({process.number for process in open_})
        if (found is None) != self.silent:
            self.silent = found is None
            self.note("Slurm doesn't answer; the jobs go on, and so does the waiting" if self.silent else "Slurm answers again")
        if found is not None:
            for process in open_:
                self._look(process, found.get(process.number))

    def _look(self, process: SlurmProcess, state: str | None) -> None:
        process.lost = 0 if state else process.lost + 1
        if state in ENDINGS or process.lost > 1:
            last = ending(process.number, process.job.run)
            process.code, process.why, self.news = last.code, last.why, True
        elif state and state != process.state:
            again = state == "PENDING"
            if again or state == "RUNNING":
                self.note(f"job {process.job.number} ({process.number}) {'is queued again' if again else 'runs'}")
            process.state = state

    def farewell(self) -> str:
        """How to look at the jobs that go on, and how to end them."""
        left = [process.number for process in self.processes if process.code is None]
        arrays = ",".join(dict.fromkeys(number.partition("_")[0] for number in left))
        them = " ".join(left) if len(left) <= 20 else arrays.replace(",", " ")
        return f"{len(left)} jobs go on in Slurm: squeue -j {arrays} shows them, scancel {them} ends them"


FIX = "see sinfo for partitions; launcher.partition, account, qos, constraint, gres, gpus, cpus_per_task, mem_gb, minutes, extra"


def _path() -> list[str]:
    """Where this process finds modules, for one that starts in another folder."""
    return [str(Path(place).absolute()) for place in sys.path]


def require_slurm() -> None:
    """Refuse to go on without submitit or without Slurm's commands.

    Raises:
        ConfigError: says what is missing.
    """
    from importlib.util import find_spec

    if find_spec("submitit") is None:
        raise ConfigError("launcher=slurm needs submitit", where="launcher=slurm", fix="pip install 'segexp[slurm]'")
    if gone := [name for name in ("sbatch", "squeue", "srun", "scontrol", "scancel") if shutil.which(name) is None]:
        fix = "type it on a login node of the cluster, or launcher=process"
        raise ConfigError(f"there is no Slurm here: {', '.join(gone)} not found", where="launcher=slurm", fix=fix)
