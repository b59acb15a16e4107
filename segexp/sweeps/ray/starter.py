"""Handing jobs to Ray, and learning how they end."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from segexp.allow import allowed
from segexp.errors import ConfigError, StoppedError
from segexp.functional.signals import STOPPING
from segexp.sweeps.jobs import Job
from segexp.sweeps.launchers import devices
from segexp.sweeps.ray.job import KILLED, order, supervise

if TYPE_CHECKING:
    from segexp.sweeps.ray.launcher import RayLauncher

LOOK = 0.5  # seconds between two looks at what Ray has finished


class RayProcess:
    """A job of Ray.

    Args:
        task: the reference to its exit code.
        orders: the file by which it is told to stop.
    """

    def __init__(self, task: Any, orders: Path) -> None:
        self.task, self.orders = task, orders
        self.code: int | None = None
        self.why: str | None = None

    @property
    def waits(self) -> bool:
        return False

    def poll(self) -> int | None:
        return self.code

    def kill(self, number: int) -> None:
        order(self.orders, number)

    def destroy(self) -> None:
        """End it; a task that hasn't begun is taken back."""
        import ray

        self.kill(signal.SIGKILL)
        with suppress(Exception):  # a client of an older cluster refuses, one that has gone can't
            ray.cancel(self.task, force=False, recursive=False)


class RayStarter:
    """Hands jobs to Ray; entered for as long as they run.

    Args:
        launcher: the settings.
        folder: of the sweep; all machines must see it.
        note: called with a line for the user.

    Raises:
        ConfigError: on entering: there is no Ray, or no such cluster.
    """

    detaches = False
    ready = True

    def __init__(self, launcher: RayLauncher, folder: Path, note: Callable[[str], None]) -> None:
        self.launcher, self.folder, self.note = launcher, folder.absolute() / "ray", note
        self.processes: list[RayProcess] = []
        self.news = False

    def __enter__(self) -> Self:
        connect(self.launcher.address)
        import ray

        self.folder.mkdir(exist_ok=True)
        self.remote = ray.remote(supervise)
        found = ray.cluster_resources()
        self.note(f"Ray has {found.get('CPU', 0):g} cores and {found.get('GPU', 0):g} GPUs")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        import ray

        if self.processes:  # an error of our own: they have been told to stop, and Ray would kill them
            ray.wait([one.task for one in self.processes], num_returns=len(self.processes), timeout=self.launcher.grace)
        ray.shutdown()

    @property
    def pause(self) -> float:
        return LOOK if self.processes else inf

    def hush(self) -> None:
        self.news = False

    def fileno(self) -> int | None:
        return None

    def start(self, document: Mapping[str, Any], output: Path, job: Job) -> RayProcess:
        """Hand over a job.

        Raises:
            ConfigError: it wants several machines, or more than there is.
        """
        orders = self.folder / f"{job.run.id}.orders"
        orders.unlink(missing_ok=True)
        wants = self._wants(job)
        task = self.remote.options(max_retries=0, name=f"segexp-{job.run.id}", **wants)
        told = {**document, "allow": allowed(), "folder": str(Path.cwd())}
        process = RayProcess(task.remote(told, str(output.absolute()), str(orders)), orders)
        self.processes.append(process)
        return process

    def flush(self) -> None:
        """Everything has been handed over."""

    def farewell(self) -> str:
        """Nothing outlives this process."""
        return ""

    def _wants(self, job: Job) -> dict[str, Any]:
        trainer, count = job.settings["trainer"], devices(job)
        if trainer["num_nodes"] > 1:
            where = f"job {job.number}: trainer.num_nodes={trainer['num_nodes']}"
            raise ConfigError("a job of Ray has one machine", where=where, fix="trainer.num_nodes=1, or launcher=slurm")
        machines = _machines()
        gpus = count if self.launcher.gpus and trainer["accelerator"] != "cpu" and any(have for _, have in machines) else 0
        wants: dict[str, Any] = {"num_cpus": count * self.launcher.threads, "num_gpus": gpus}
        if not any(cores >= wants["num_cpus"] and have >= gpus for cores, have in machines):
            where = f"job {job.number}: {wants['num_cpus']} cores, {gpus} GPUs"
            cores, have = max(machines, default=(0, 0), key=lambda machine: machine[::-1] if gpus else machine)
            has = f"a machine has {cores:g} cores and {have:g} GPUs at most"
            raise ConfigError(f"Ray would wait for ever: {has}", where=where, fix="launcher.cpus, trainer.devices")
        return wants | ({"memory": int(self.launcher.memory_gb * 2**30)} if self.launcher.memory_gb else {})

    def receive(self) -> None:
        """Note which jobs have ended."""
        import ray

        if not self.processes:
            return
        ended, _ = ray.wait([one.task for one in self.processes], num_returns=len(self.processes), timeout=0)
        for process in [one for one in self.processes if one.task in ended]:
            process.code, process.why = _ending(process)
            self.processes.remove(process)
            self.news = True


def _machines() -> list[tuple[float, float]]:
    """Cores and GPUs of each machine of the cluster: a job runs on one."""
    import ray

    found = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
    return [(has.get("CPU", 0.0), has.get("GPU", 0.0)) for has in found]


def _ending(process: RayProcess) -> tuple[int, str | None]:
    """Exit code, and what others have done to the job."""
    import ray
    from ray.exceptions import OutOfMemoryError, RayError, TaskCancelledError

    try:
        return ray.get(process.task), None
    except TaskCancelledError:
        return (KILLED, None) if process.orders.exists() else (StoppedError.exit_code, "cancelled")
    except OutOfMemoryError:
        return KILLED, "out of memory"
    except RayError:  # its worker, or the whole machine
        return KILLED, "node lost"


def connect(address: str | None) -> None:
    """Connect to a cluster, or start one of this machine; this process's signals stay its own.

    Raises:
        ConfigError: Ray isn't installed, or there is no cluster at this address.
    """
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise ConfigError("launcher=ray needs Ray", where="launcher=ray", fix="pip install 'segexp[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    handlers = {number: signal.getsignal(number) for number in STOPPING}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, include_dashboard=None if address else False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        fix = "ray start --head on one machine, ray start --address=<it> on the others; or launcher.address=null"
        raise ConfigError(f"there is no Ray cluster: {error}", where=f"launcher.address={address}", fix=fix) from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
