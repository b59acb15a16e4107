"""What Slurm says of jobs: which state they are in, and how they have ended. It is asked with its own commands."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass

from segexp.errors import SegexpError, StoppedError
from segexp.runs.directory import RunDirectory
from segexp.sweeps.jobs import TIME_LIMIT

PATIENCE = 60.0  # seconds for a command to answer
ENDINGS = {  # the last states, and what ended the job where it wasn't itself
    "COMPLETED": None,
    "FAILED": None,
    "PREEMPTED": None,
    "TIMEOUT": TIME_LIMIT,
    "DEADLINE": TIME_LIMIT,
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
    "NODE_FAIL": "node lost",
    "BOOT_FAIL": "node lost",
    "OUT_OF_MEMORY": "out of memory",
}
BY_STATE = {"done": 0, "pruned": 0, "failed": 1, "preempted": StoppedError.exit_code, "killed": -9, "running": -9}


@dataclass(frozen=True)
class Ending:
    """How a job has ended: the exit code, negative for a signal, and what others have done to it."""

    code: int
    why: str | None = None


def states(numbers: Collection[str]) -> dict[str, str] | None:
    """The state of each job that Slurm still knows, by number such as `17` or `17_3`; None where it doesn't answer.

    One call, however many there are: clusters don't like to be asked often.
    """
    if not numbers:
        return {}
    arrays = sorted({number.partition("_")[0] for number in numbers})
    said = _run("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T", f"--jobs={','.join(arrays)}")
    if said is None:
        return None
    if said.returncode:
        return {} if "invalid job id" in said.stderr.lower() else None
    found = dict(line.split("|", 1) for line in said.stdout.split() if "|" in line)
    return {number: found[number] for number in numbers if number in found}


def ending(number: str, directory: RunDirectory) -> Ending:
    """How a job that isn't queued any more has ended: by what Slurm remembers of it, else by what its run says."""
    found = _remembered(number) or _accounted(number)
    if found is None:
        return Ending(_by_run(directory))
    state, (status, signal) = found
    if state == "PREEMPTED":  # and not queued again: the run has saved its state, or is where its last checkpoint is
        return Ending(StoppedError.exit_code if directory.state() != "running" else -9)
    code = -signal if signal else 128 - status if status > 128 else status
    return Ending(code, ENDINGS[state])


def _remembered(number: str) -> tuple[str, tuple[int, int]] | None:
    """State and exit code by the controller, which forgets a job after some minutes."""
    said = _run("scontrol", "--oneliner", "show", "job", number)
    if said is None or said.returncode:
        return None
    state, code = (re.search(rf"\b{key}=(\S+)", said.stdout) for key in ("JobState", "ExitCode"))
    return _known(state[1], code[1]) if state and code else None


def _accounted(number: str) -> tuple[str, tuple[int, int]] | None:
    """The same by the accounting, where the cluster has one."""
    said = _run("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={number}", "--format=State,ExitCode")
    lines = [] if said is None or said.returncode else said.stdout.split("\n")
    for line in reversed(lines):
        state, bar, code = line.partition("|")
        if bar and (found := _known(state, code)):
            return found
    return None


def _known(state: str, code: str) -> tuple[str, tuple[int, int]] | None:
    name = state.split()[0].rstrip("+") if state.split() else ""  # CANCELLED by 1000
    numbers = re.fullmatch(r"(\d+):(\d+)", code.strip())
    return (name, (int(numbers[1]), int(numbers[2]))) if name in ENDINGS and numbers else None


def _by_run(directory: RunDirectory) -> int:
    try:
        return BY_STATE.get(directory.state(), 1)
    except SegexpError:  # a status that can't be read
        return 1


def _run(*command: str) -> subprocess.CompletedProcess[str] | None:
    """What a command says; None where it isn't there or doesn't answer."""
    if shutil.which(command[0]) is None:
        return None
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None


def cancel(number: str, signal: str = "") -> None:
    """Cancel a job, or send it a signal."""
    _run("scancel", *([f"--signal={signal}"] if signal else []), number)
