"""A sweep from its command to its table: compose all jobs, run those that need it, say what became of each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress

from segexp.allow import command
from segexp.check.ahead import Ahead
from segexp.config import session
from segexp.errors import ConfigError, HeldError, SegexpError, StoppedError, WiringError
from segexp.overrides import check_overrides
from segexp.search.driver import search
from segexp.search.plan import plan
from segexp.sweeps.grid import expand
from segexp.sweeps.jobs import Job, ending, exhausted, settle
from segexp.sweeps.known import fill, jobs_of, keep
from segexp.sweeps.launchers import Launcher, launcher
from segexp.sweeps.page import told
from segexp.sweeps.source import Listed
from segexp.sweeps.sweep import Sweep, find_twins, mine
from segexp.sweeps.table import display, summary

REFUSED = (ConfigError.code, WiringError.code, ending(ConfigError.exit_code))  # causes of a failure that is the same the next time


def sweep(overrides: Sequence[str], *, figure: str | None = None, table: bool = False) -> int:
    """Make all runs of a sweep so: nothing is started for one that is done, or has failed as often as it may.

    With `sweep=tpe` and the like the runs are those of a search (`segexp.search.driver`).

    Args:
        overrides: what was typed after `segexp train -m`.
        figure: that the page compares by; what the runs monitor unless given.
        table: print the leaderboard.

    Returns:
        0: every job is done.

    Raises:
        ConfigError: no job composes, or the launcher's settings make no sense; nothing was started.
        HeldError: another process has this sweep, or a run that isn't done.
        StoppedError: a signal came; the same command goes on.
        SegexpError: jobs failed; names the command that runs only them.
    """
    with session():
        if (wanted := plan(overrides)) is not None:
            return search(wanted, overrides)
        jobs = compose_all(overrides)
    launches = _launcher(jobs)
    whole = Sweep(jobs, command(overrides, "-m"))
    with mine(whole):
        stopped = _run(whole, launches)
    print(f"\n{summary(whole)}\n{whole.folder}", flush=True)
    told(whole, figure=figure, table=table)
    _tell(whole, overrides, stopped)
    return 0


def compose_all(overrides: Sequence[str]) -> list[Job]:
    """The jobs of a sweep, composed; those that don't compose have failed.

    Raises:
        ConfigError: none composes.
    """
    with session():
        jobs = jobs_of(expand("train", overrides))
        if all(job.directory is None for job in jobs):
            check_overrides("train", overrides)  # tells all slips at once
            raise ConfigError(f"none of the {len(jobs)} jobs composes", where=jobs[0].error, fix="mend the first")
    if other := next((job for job in jobs if job.directory and job.settings["sweep"]["sampler"] != "grid"), None):
        raise ConfigError("some jobs want a search", where=f"job {other.number}: {command(other.overrides)}", fix="sweep=grid")
    find_twins(jobs)
    return jobs


def _launcher(jobs: Sequence[Job]) -> Launcher:
    sections = [job.settings["launcher"] for job in jobs if job.directory]
    if other := next((section for section in sections if section != sections[0]), None):
        first = sections[0]
        keys = ", ".join(f"launcher.{key}" for key in [*other, *(k for k in first if k not in other)] if other.get(key) != first.get(key))
        raise ConfigError("a sweep has one launcher", where=f"{keys} differs between jobs", fix="give it one value")
    return launcher(sections[0])


def _run(whole: Sweep, launches: Launcher) -> str | None:
    """Start what needs it; returns the signal that stopped it."""
    before = whole.done_before()
    for job in whole.jobs:
        settle(job, again=job.again and job.id not in before)
    waiting = [job for job in whole.jobs if job.state == "pending" and job.twin is None]
    keep(whole)
    with session():
        for job in waiting:
            fill(job)
    waiting = [job for job in waiting if job.state == "pending"]
    whole.write()
    states = [job.state for job in whole.jobs]
    print(f"{len(states)} jobs: {states.count('done')} done, {states.count('failed')} failed, {len(waiting)} to run", flush=True)
    for job in whole.jobs:
        if job.directory is None:  # said at once: an overnight sweep isn't to end with it
            print(f"job {job.number}/{len(states)} doesn't compose: {job.error}", flush=True)
    if not waiting:
        return None
    with display(whole) as shown, _ahead(waiting[launches.jobs :] if launches.ahead else []) as ahead:
        return launches.launch(whole, Listed(waiting, ahead), shown)


def _ahead(jobs: Sequence[Job]) -> AbstractContextManager[Ahead | None]:
    """A process that looks at jobs while they wait; none where none waits."""
    return closing(Ahead((job.number, job.config, job.overrides) for job in jobs)) if jobs else nullcontext()


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
        if all(job.directory is None or job.cause in REFUSED for job in rows["failed"]):
            again = f"mend what is said of job {', '.join(str(job.number) for job in rows['failed'])}; what is done isn't run again"
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
