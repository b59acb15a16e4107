"""A Slurm of this machine for tests: its own munge, one controller, so many nodes, all on loopback and below one folder.

    with Cluster(folder) as cluster: subprocess.run(["sbatch", ...], env=os.environ | cluster.environment)

Nothing of the system's own Slurm or munge is touched, nothing runs as a service, and all of it ends with this process. The
nodes say that they have more processors than there are, so that a job of two ranks and another fit on two cores.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "squeue", "scontrol", "scancel")
CONFIG = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PreemptExemptTime=0
JobRequeue=1
ReturnToService=2
KillWait={kill_wait}
OverTimeLimit=0
KillOnBadExit=1
WaitTime=5
InactiveLimit=0
MinJobAge={keeps}
MailProg=/bin/true
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
SlurmctldParameters=node_reg_mem_percent=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=4000 State=UNKNOWN"
PARTITIONS = """
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE MaxTime=INFINITE State=UP
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """What there is no Slurm for; empty where there is one."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    gone = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if gone:
        return f"no Slurm: {', '.join(gone)} not found (as root: tests/install.sh)"
    return ""


class Cluster:
    """A running Slurm.

    Args:
        folder: for all its files; its name must be short, a socket lies in it.
        nodes: how many.
        cpus: of each.
        kill_wait: seconds between SIGTERM and SIGKILL.
        keeps: seconds for which the controller remembers a job that has ended.
    """

    def __init__(self, folder: Path, *, nodes: int = 1, cpus: int = 4, kill_wait: int = 20, keeps: int = 300) -> None:
        self.folder, self.nodes = folder, [f"127.0.0.{number}" for number in range(2, nodes + 2)]
        self.cpus, self.kill_wait, self.keeps = cpus, kill_wait, keeps
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> Cluster:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "state").mkdir(exist_ok=True)
        for node in self.nodes:
            (self.folder / f"spool.{node}").mkdir(exist_ok=True)
        self._configure()
        try:
            self._start_munge()
            self._start("slurmctld", "-D", "-c")
            for node in self.nodes:
                self._start("slurmd", "-D", "-c", "-N", node)
            self._wait("the nodes", lambda: self.states() == {"idle"}, 30)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the jobs, then all that was started here."""
        with suppress(OSError, subprocess.SubprocessError):
            self.run("scancel", "--signal=KILL", "--full", f"--user={_user()}", check=False)
            self.run("scancel", f"--user={_user()}", check=False)
            self._wait("the jobs", lambda: not self.run("squeue", "-h").stdout, 10, quiet=True)
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A client's command."""
        return subprocess.run(command, env=self._environment(), capture_output=True, text=True, timeout=60, check=check)

    def states(self) -> set[str]:
        """Of the nodes, such as `{"idle"}`."""
        return set(self.run("sinfo", "-h", "-N", "-o", "%t", check=False).stdout.split())

    def _configure(self) -> None:
        ports = _free_ports(1 + len(self.nodes))
        host = socket.gethostname().partition(".")[0]
        text = CONFIG.format(host=host, user=_user(), folder=self.folder, ports=ports, kill_wait=self.kill_wait, keeps=self.keeps)
        nodes = [NODE.format(name=name, host=host, port=port, cpus=self.cpus) for name, port in zip(self.nodes, ports[1:], strict=True)]
        (self.folder / "slurm.conf").write_text("\n".join([text.strip(), *nodes, PARTITIONS.strip(), ""]))

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        names = {"socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log", "seed-file": "munged.seed"}
        options = [f"--{name}={self.folder / file}" for name, file in names.items()]
        self._start("munged", "--foreground", "--force", f"--key-file={key}", *options)
        self._wait("munge", (self.folder / "munge.socket").exists, 10)

    def _start(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("ab") as log:
            process = subprocess.Popen(
                command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)

    def _environment(self) -> Mapping[str, str]:
        return os.environ | self.environment | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}

    def _wait(self, what: str, ready, seconds: float, *, quiet: bool = False) -> None:
        until = time.monotonic() + seconds
        while not ready():
            if dead := next((process for process in self.processes if process.poll() is not None), None):
                raise RuntimeError(f"{dead.args[0]} has ended with {dead.returncode}: {self._said(dead.args[0])}")  # ty: ignore
            if time.monotonic() > until:
                if quiet:
                    return
                raise RuntimeError(f"{what}: not there after {seconds} s: {self._said('slurmctld')}")
            time.sleep(0.1)

    def _said(self, program: str) -> str:
        files = sorted(self.folder.glob(f"{program}*.out")) + sorted(self.folder.glob(f"{program}*.log"))
        return " | ".join(line for file in files for line in file.read_text(errors="replace").splitlines()[-4:])


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    import sys

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # or what was started here would outlive us
    with Cluster(Path(sys.argv[1]).absolute(), nodes=int(sys.argv[2]) if len(sys.argv) > 2 else 1) as made, suppress(KeyboardInterrupt):
        print("\n".join(f"export {name}={value}" for name, value in made.environment.items()), flush=True)
        signal.pause()
