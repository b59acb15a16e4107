"""What runs in a job of Slurm, once in each rank: the run of a document, then perhaps the wish to be queued again.

One owner of the signal: Slurm's warning (USR2, before the time limit or a preemption) and its SIGTERM are noted by the run's own
handler, which takes submitit's place; the run saves at the next step and ends with exit code 75. Only then, and only after the
warning, rank 0 asks Slurm to queue the job again. After SIGTERM it never does: who cancels a job doesn't want it back, and a
preemption that queues jobs again does so by itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from segexp.errors import StoppedError
from segexp.functional.signals import Stop
from segexp.sweeps.child import redirect
from segexp.sweeps.child import run as run_document

WARNINGS = ("SIGUSR1", "SIGUSR2")
LINGER = 600.0  # seconds that a rank which ends badly gives the first one, which srun would end with it


def run(document: Mapping[str, Any]) -> NoReturn:
    """Become a rank of a job; ends the process with the run's exit code."""
    sys.path[:] = list(dict.fromkeys([*document["path"], *sys.path]))
    stop = Stop()
    stop.install()  # submitit's handler would requeue a run that has saved nothing
    signal.signal(signal.SIGCONT, signal.SIG_DFL)  # comes before each SIGTERM, and submitit's handler talks of it
    first = os.environ.get("SLURM_PROCID", "0") == "0"
    if first:
        redirect(Path(document["output"]))
        _say_where()
    code = run_document(document)
    if code and not first:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(code))  # of srun; who waits to be killed makes its code the job's
        time.sleep(LINGER)
    if first and code == StoppedError.exit_code and _warned(stop):
        queue_again(document["requeues"])
    sys.stdout.flush()
    sys.exit(code)


def _warned(stop: Stop) -> bool:
    """Was it the warning that stopped the run? The signal that another rank was stopped by may still be on its way here."""
    until = time.monotonic() + 2.0
    while stop.signal is None and time.monotonic() < until:
        time.sleep(0.05)
    return stop.signal in WARNINGS


def queue_again(limit: int) -> None:
    """Let Slurm queue this job again, unless it has done so often enough."""
    done, number = int(os.environ.get("SLURM_RESTART_COUNT") or 0), job_number()
    if done >= limit:
        print(f"Slurm job {number} has been queued again {done} times, that is enough (launcher.requeues={limit})", flush=True)
        return
    print(f"Slurm job {number} is to be queued again ({done + 1} of {limit})", flush=True)
    asked = subprocess.run(["scontrol", "requeue", number], capture_output=True, text=True, timeout=60)
    if asked.returncode:
        print(f"warning: it isn't: {asked.stderr.strip()}; the sweep's command starts it again", flush=True)


def job_number() -> str:
    """Of this job; of an array's the number of the array alone would mean all of them."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ["SLURM_JOB_ID"]


def _say_where() -> None:
    names = os.environ.get("SLURM_JOB_NODELIST", "?")
    ranks = os.environ.get("SLURM_NTASKS", "1")
    again = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
    print(f"Slurm job {job_number()} on {names}, {ranks} ranks" + (f", queued again {again} times" if again else ""), flush=True)
