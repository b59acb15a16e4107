"""What a sweep shows: a live table in a terminal, plain lines at a steady pace elsewhere, and the table of its end."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from segexp.errors import SegexpError
from segexp.sweeps.jobs import Job, tail
from segexp.sweeps.sweep import Sweep

if TYPE_CHECKING:
    from rich.table import Table

RECENT = 8  # ended jobs in the live table


class Display:
    """Plain lines: one when a job starts, one when it ends, and now and then the last line of each that runs.

    Args:
        sweep: whose jobs are shown.
    """

    pace = 30.0  # seconds between two calls of `show`

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.began: dict[int, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def note(self, text: str) -> None:
        """Say something that is about no job."""
        print(text, flush=True)

    def started(self, job: Job) -> None:
        self.began[job.number] = time.monotonic()
        self.note(f"{self._name(job)} starts: {self.sweep.label(job)}")

    def ended(self, job: Job) -> None:
        parts = [job.cause, figure(job), f"{self.seconds(job):.0f} s", job.error]
        self.note(f"{self._name(job)} {job.state}: " + ", ".join(part for part in parts if part))

    def refused(self, job: Job) -> None:
        """Say why a job isn't started."""
        self.note(f"{self._name(job)} can't run: {job.error}")

    def show(self, running: Sequence[Job]) -> None:
        """Say how far the running jobs are."""
        for job in running:
            self.note(f"{self._name(job)} {self.seconds(job):.0f} s: {last_line(job) or 'nothing said yet'}")

    def seconds(self, job: Job) -> float:
        return time.monotonic() - self.began[job.number]

    def _name(self, job: Job) -> str:
        return f"job {job.number}/{self.sweep.total}"


class LiveDisplay(Display):
    """A table in a terminal that is drawn anew each second: the running jobs, those that ended last, and how many wait."""

    pace = 1.0

    def __enter__(self) -> Self:
        from rich.live import Live

        self.recent: list[tuple[Job, float]] = []
        self.live = Live(auto_refresh=False, transient=True)  # a thread that draws would be in the way of signals
        self.live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.live.stop()

    def note(self, text: str) -> None:
        self.live.console.print(text, markup=False, highlight=False)

    def started(self, job: Job) -> None:
        self.began[job.number] = time.monotonic()
        self.show([one for one in self.sweep.jobs if one.state == "running" and one.number in self.began])

    def ended(self, job: Job) -> None:
        self.recent.append((job, self.seconds(job)))
        if job.state not in ("done", "pruned"):
            super().ended(job)

    def show(self, running: Sequence[Job]) -> None:
        self.live.update(self.table(running), refresh=True)

    def table(self, running: Sequence[Job]) -> Table:
        """The jobs that ended last and those that run, under the number of jobs in each state."""
        from rich.table import Table
        from rich.text import Text

        states = Counter(job.state for job in self.sweep.jobs)
        title = ", ".join(f"{count} {state}" for state, count in states.items())
        table = Table(title=title, title_justify="left", title_style="", box=None, expand=True, padding=(0, 1))
        for name, width in (("job", 4), ("s", 4), ("state", 20)):
            table.add_column(name, no_wrap=True, min_width=width)
        for name in ("overrides", "says"):
            table.add_column(name, no_wrap=True, ratio=1)
        ended = [(job, seconds, figure(job) or job.error) for job, seconds in self.recent[-RECENT:]]
        for job, seconds, said in [*ended, *((job, self.seconds(job), last_line(job)) for job in running)]:
            table.add_row(*map(Text, (str(job.number), f"{seconds:.0f}", outcome(job), self.sweep.label(job), said)))
        return table


def display(sweep: Sweep) -> Display:
    """The display that fits what stdout is."""
    return LiveDisplay(sweep) if sys.stdout.isatty() else Display(sweep)


# ------------------------------------------------------------------------------------------------ the end


def summary(sweep: Sweep) -> str:
    """The table of all jobs: state, monitored figure, steps and seconds where they are known, overrides."""
    rows = [("", "state", "figure", "steps", "s", "overrides"), *(_row(sweep, job) for job in sweep.jobs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _row(sweep: Sweep, job: Job) -> tuple[str, ...]:
    found = _result(job)
    steps, seconds = found.get("steps"), found.get("seconds")
    label = sweep.label(job) + (f"  (the same run as job {job.twin})" if job.twin else "")
    return (
        str(job.number),
        outcome(job),
        figure(job),
        "" if steps is None else str(steps),
        "" if seconds is None else f"{seconds:.0f}",
        label,
    )


def last_line(job: Job) -> str:
    """What the process of a job said last; empty if nothing."""
    return (tail(job) or [""])[-1]


def outcome(job: Job) -> str:
    """A job's state and why, such as `failed (SIGSEGV)`."""
    return f"{job.state} ({job.cause})" if job.cause else job.state


def figure(job: Job) -> str:
    """The monitored figure of a job that is done or pruned, such as `val/miou 0.4321`."""
    found = _result(job)
    split, _, name = str(found.get("monitor") or "").partition("/")
    value = (found.get(split) or {}).get(name)
    return f"{split}/{name} {value:.4f}" if isinstance(value, (int, float)) else ""


def _result(job: Job) -> dict[str, Any]:
    found = None
    if job.state in ("done", "pruned") and job.directory is not None:
        with suppress(SegexpError):
            found = job.directory.result()
    return found or {}
