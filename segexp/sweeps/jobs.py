"""A job of a sweep: its run, what the run's directory says of it, and how its process ended."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segexp.config import compose, resolve
from segexp.errors import ConfigError, HeldError, OutOfMemoryError, SegexpError, StoppedError
from segexp.runs.directory import RunDirectory
from segexp.runs.lock import held
from segexp.runs.settings import check_settings

WANTED = {"devices": 1, "num_nodes": 1, "accelerator": "auto"}  # what a job wants of a machine, by key of its trainer
STATES = ("pending", "running", "done", "failed", "held", "preempted", "pruned")
TIME_LIMIT, STOP = "time limit", "stop"  # why the driver asked a process to end
ENDED = {  # why a cluster ended one, and what is said where the run itself says nothing
    "cancelled": "the job was cancelled",
    "node lost": "the machine on which it ran was lost",
    "out of memory": "the process needed more memory than the job may have",
}


@dataclass
class Job:
    """One row of a sweep.

    Args:
        number: from 1.
        overrides: what it is composed of.
        directory: its run; None where the config doesn't compose.
        config: its YAML, interpolations kept.
        settings: its sections `run`, `launcher` and `sweep`, resolved, and what it wants of a machine.
        twin: the number of an earlier job with the same run.
        trial: of a search: what its study calls it, from 0.
        values: of a search's metrics, once the job is done or pruned.
        search: of a search that may prune it: what its process is told of the trial.
    """

    number: int
    overrides: list[str]
    directory: RunDirectory | None = None
    config: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    twin: int | None = None
    state: str = "pending"
    cause: str = ""  # of a failure, in a word or two
    error: str = ""  # its line
    trial: int | None = None
    values: dict[str, float] = field(default_factory=dict)
    search: dict[str, Any] | None = None
    log: Path | None = None  # stdout and stderr of its process
    log_start: int = 0  # where those of this start begin, in bytes

    @property
    def id(self) -> str | None:
        return self.directory.id if self.directory else None

    @property
    def again(self) -> bool:
        """Is the run to be started from scratch, whatever its state? One that wasn't composed has none."""
        return self.directory is not None and bool(self.settings["run"]["again"])

    @property
    def run(self) -> RunDirectory:
        """The run of a job that was composed."""
        assert self.directory is not None
        return self.directory

    def fail(self, cause: str, error: str) -> None:
        self.state, self.cause, self.error = "failed", cause, error


def composed(number: int, overrides: Sequence[str]) -> Job:
    """A job with its config; one that failed already where there is none."""
    job = Job(number, list(overrides))
    try:
        config = compose("train", overrides)
        plain = resolve(config)
        check_settings(config)
        if plain["resume"]["run"]:
            fix = "leave it out: each job goes on with its own run"
            raise ConfigError("a sweep has many runs", where=f"resume.run={plain['resume']['run']}", fix=fix)
        job.directory = RunDirectory.of(config, Path(plain["paths"]["outputs"]))
    except SegexpError as error:
        job.fail(error.code, error.line())
        return job
    job.config = OmegaConf.to_yaml(config, resolve=False)
    job.settings = {name: plain[name] for name in ("run", "launcher", "sweep")}
    job.settings["trainer"] = {name: plain["trainer"].get(name, usual) for name, usual in WANTED.items()}
    return job


def document(job: Job, threads: int, environment: Mapping[str, str]) -> dict[str, Any]:
    """What the process of a job is told of it (see `segexp.sweeps.child`).

    Args:
        job: composed.
        threads: of torch, where the job's config doesn't say.
        environment: variables to set.
    """
    count = job.settings["run"]["threads"] or threads
    environment = {**environment, "OMP_NUM_THREADS": str(count)}
    told = {"config": job.config, "overrides": job.overrides, "threads": count, "env": environment}
    return told | ({"search": job.search} if job.search else {})


# ------------------------------------------------------------------------------------------------ before and after


def settle(job: Job, *, again: bool) -> None:
    """Give a job its last state if it needs no process: its run is done, or has failed as often as it may.

    Args:
        job: as composed.
        again: it is to be started whatever its state.
    """
    if job.directory is None:
        return
    try:
        record = job.directory.read_status()
        if again:
            return
        if record["state"] == "done" and job.directory.result() is not None:
            job.state = "done"
        elif exhausted(job, record):
            job.fail(f"{record['failures']} times", error_line(record))
    except SegexpError as error:  # a status that can't be read
        job.fail(error.code, error.line())


def exhausted(job: Job, record: Mapping[str, Any]) -> bool:
    """Has the run failed as often as it may?"""
    return record["state"] in ("failed", "killed") and record["failures"] >= job.settings["run"]["max_attempts"]


def error_line(record: Mapping[str, Any]) -> str:
    """The error of a status as a line."""
    error = record["error"] or {"code": "failed", "what": "it failed", "where": "", "fix": ""}
    known = SegexpError(error["what"], where=error["where"], fix=error["fix"])
    known.code = error["code"]
    return known.line()


def judge(job: Job, code: int, before: Mapping[str, Any], asked: str | None = None) -> None:
    """Give a job its state after its process has ended.

    Args:
        job: its log holds what the process said.
        code: the exit code, negative for a signal.
        before: the run's status before the process began.
        asked: why the driver asked it to end, if it did; or why somebody else ended it, where that is known.
    """
    try:
        if finished(job, before, code):
            job.state = "done" if job.run.state() == "done" else "pruned"
        elif asked == STOP:
            job.state = "pending"
        elif code == HeldError.exit_code:
            job.state, job.error = "held", last_error(job)
        elif code == StoppedError.exit_code and asked is None:
            job.state, job.error = "preempted", last_error(job)
        else:
            _fail(job, code, before, asked)
    except SegexpError as error:  # a status that can't be read
        job.fail(ending(code), error.line())


def finished(job: Job, before: Mapping[str, Any], code: int) -> bool:
    """Has the process of a job, or another one meanwhile, finished the run? A trial may end by being pruned."""
    with suppress(SegexpError):
        record = job.run.read_status()
        ended = record["state"] == "done" or (record["state"] == "pruned" and job.search is not None)
        return ended and job.run.result() is not None and (code == 0 or record != before)
    return False


def _fail(job: Job, code: int, before: Mapping[str, Any], asked: str | None) -> None:
    if job.run.state() == "running":  # it had no time to say how it ends
        with suppress(HeldError), held(job.run.lock):
            job.run.died(_told(job, asked or ending(code)))
    record = job.run.read_status()
    written = record if record != before and record["error"] else None
    said = error_line(written) if written else last_error(job)
    refused = re.match(r"segexp: error\[(\w+)\]", said) if code == ConfigError.exit_code and not written else None  # there is no run yet
    job.fail(refused[1] if refused else _cause(code, asked, written), said or _told(job, asked or ending(code)))


def _cause(code: int, asked: str | None, record: Mapping[str, Any] | None) -> str:
    """A failure in a word or two: the kind of its error, why it was stopped, or how its process ended."""
    error = (record or {}).get("error") or {"code": "", "what": ""}
    if error["code"] == OutOfMemoryError.code or "MemoryError" in error["what"]:
        return "out of memory"
    if error["code"] in ("", "killed", StoppedError.code):
        return asked or ending(code)
    return ending(code) if error["code"] in (SegexpError.code, "unexpected") else error["code"]


def _told(job: Job, cause: str) -> str:
    if cause == TIME_LIMIT:
        section = job.settings["launcher"]
        limit = f"{section['minutes']} min" if "minutes" in section else f"{section['time_limit']} s"
        return f"the process was killed at the time limit of {limit}"
    if cause in ENDED:
        return ENDED[cause]
    return f"the process ended by {cause}" if cause.startswith("SIG") else f"the process ended with {cause}"


def ending(code: int) -> str:
    """An exit code in words, such as `exit 3`, `SIGSEGV`, `exit 0 without a result`."""
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:  # a real-time signal
            return f"signal {-code}"
    return f"exit {code}" if code else "exit 0 without a result"


def last_error(job: Job) -> str:
    """The last line of a job's log, since its start, that is an error; else empty."""
    return next((line for line in reversed(tail(job)) if line.startswith("segexp: error[")), "")


def tail(job: Job, size: int = 4096) -> list[str]:
    """The last lines of a job's log, since its start, without empty ones."""
    try:
        with (job.log or Path()).open("rb") as file:
            file.seek(max(job.log_start, file.seek(0, os.SEEK_END) - size))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
