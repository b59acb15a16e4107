"""A sweep from its command to its table: compose all jobs, run those that need it, say what became of each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

from segexp.allow import command
from segexp.config import complete, session
from segexp.errors import ConfigError, HeldError, SegexpError, StoppedError
from segexp.overrides import check_overrides
from segexp.runs.directory import probe
from segexp.runs.lock import held
from segexp.sweeps.grid import expand
from segexp.sweeps.jobs import Job, composed, exhausted, settle
from segexp.sweeps.process import ProcessLauncher
from segexp.sweeps.sweep import Sweep, find_twins
from segexp.sweeps.table import display, summary


def sweep(overrides: Sequence[str]) -> int:
    """Make all runs of a sweep so: nothing is started for one that is done, or has failed as often as it may.

    Args:
        overrides: what was typed after `segexp train -m`.

    Returns:
        0: every job is done.

    Raises:
        ConfigError: no job composes, or the launcher's settings make no sense; nothing was started.
        HeldError: another process has this sweep, or a run that isn't done.
        StoppedError: a signal came; the same command goes on.
        SegexpError: jobs failed; names the command that runs only them.
    """
    jobs = compose_all(overrides)
    launcher = _launcher(jobs)
    whole = Sweep(jobs, command(overrides, "-m"))
    probe(whole.outputs)
    (whole.folder / "jobs").mkdir(parents=True, exist_ok=True)
    try:
        with held(whole.folder / "lock"):
            stopped = _run(whole, launcher)
    except HeldError as error:
        raise HeldError(error.what.replace("this run", "this sweep"), where=error.where, fix=error.fix) from error
    print(f"\n{summary(whole)}\n{whole.folder}", flush=True)
    _tell(whole, overrides, stopped)
    return 0


def compose_all(overrides: Sequence[str]) -> list[Job]:
    """The jobs of a sweep, composed; those that don't compose have failed.

    Raises:
        ConfigError: none composes.
    """
    with session():
        jobs = [composed(number, own) for number, own in enumerate(expand("train", overrides), 1)]
        if all(job.directory is None for job in jobs):
            check_overrides("train", overrides)  # tells all slips at once
            raise ConfigError(f"none of the {len(jobs)} jobs composes", where=jobs[0].error, fix="mend the first")
    find_twins(jobs)
    return jobs


def _launcher(jobs: Sequence[Job]) -> ProcessLauncher:
    sections = [job.settings["launcher"] for job in jobs if job.directory]
    if other := next((section for section in sections if section != sections[0]), None):
        keys = ", ".join(f"launcher.{key}" for key, value in other.items() if value != sections[0].get(key))
        raise ConfigError("a sweep has one launcher", where=f"{keys} differs between jobs", fix="give it one value")
    return complete(ProcessLauncher, **sections[0])


def _run(whole: Sweep, launcher: ProcessLauncher) -> str | None:
    """Start what needs it; returns the signal that stopped it."""
    before = whole.done_before()
    for job in whole.jobs:
        settle(job, again=job.again and job.id not in before)
    waiting = [job for job in whole.jobs if job.state == "pending" and job.twin is None]
    whole.write()
    states = [job.state for job in whole.jobs]
    print(f"{len(states)} jobs: {states.count('done')} done, {states.count('failed')} failed, {len(waiting)} to run", flush=True)
    for job in whole.jobs:
        if job.directory is None:  # said at once: an overnight sweep isn't to end with it
            print(f"job {job.number}/{len(states)} doesn't compose: {job.error}", flush=True)
    if not waiting:
        return None
    with display(whole) as shown:
        return launcher.launch(whole, waiting, shown)


# ------------------------------------------------------------------------------------------------ the end


def _tell(whole: Sweep, overrides: Sequence[str], stopped: str | None) -> None:
    """Raise what the sweep ends with, if not all is done; each failure is told before."""
    rows = {state: [job for job in whole.jobs if job.state == state] for state in ("failed", "held", "preempted", "pending")}
    for job in (*rows["failed"], *rows["held"], *rows["preempted"]):
        if job.twin is None:
            _tell_job(job)
    where, again, total = str(whole.folder), rerun(whole.jobs, overrides), len(whole.jobs)
    if stopped:
        left = sum(job.state != "done" for job in whole.jobs)
        raise StoppedError(f"stopped by {stopped}: {left} of {total} jobs are not done", where=where, fix=again)
    if rows["failed"]:
        if all(job.directory is None for job in rows["failed"]):
            again = f"mend the overrides of job {', '.join(str(job.number) for job in rows['failed'])}; what is done isn't run again"
        raise SegexpError(f"{len(rows['failed'])} of {total} jobs failed", where=where, fix=again)
    if rows["held"]:
        raise HeldError(f"other processes have {len(rows['held'])} of {total} jobs", where=where, fix=again)
    if rows["preempted"]:
        raise StoppedError(f"{len(rows['preempted'])} of {total} jobs were asked to stop", where=where, fix=again)


def _tell_job(job: Job) -> None:
    lines = [f"job {job.number}: {command(job.overrides)}", f"  {job.error or job.state}"]
    if job.log and job.log.exists():
        lines.append(f"  log: {job.log}")
    if _used_up(job):
        lines.append("  its attempts are used up: the command at the end grants one more; run.again=true in this one starts from scratch")
    print("\n".join(lines), file=sys.stderr, flush=True)


def rerun(jobs: Sequence[Job], overrides: Sequence[str]) -> str:
    """The command that runs what isn't done, and only that; it grants one more attempt where they are used up."""
    waiting = any(job.state == "pending" for job in jobs)
    kept = [text for text in overrides if waiting or not text.lstrip("+").startswith("run.again=")]
    used = [failures for job in jobs if (failures := _used_up(job))]
    if used:
        kept = [text for text in kept if not text.startswith("run.max_attempts=")] + [f"run.max_attempts={max(used) + 1}"]
    return command(kept, "-m")


def _used_up(job: Job) -> int:
    """How often a run has failed that isn't started any more; 0 of any other."""
    with suppress(SegexpError):
        if job.state == "failed" and job.directory and exhausted(job, record := job.directory.read_status()):
            return record["failures"]
    return 0
