"""The driver's loop: start what fits, wait for whatever happens next, look after what runs."""

from __future__ import annotations

import select
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from segexp.sweeps.forks import UNKNOWN
from segexp.sweeps.jobs import STOP, TIME_LIMIT, Job, document, finished, judge
from segexp.sweeps.processes import Process, kill_group
from segexp.sweeps.starter import Starter, lost
from segexp.sweeps.sweep import Sweep
from segexp.sweeps.table import Display
from segexp.sweeps.wakeup import Wakeup

if TYPE_CHECKING:
    from segexp.sweeps.process import ProcessLauncher

BLINK = 0.2  # seconds between two looks at a process whose end nobody reports


@dataclass
class Running:
    """A job that has a process."""

    job: Job
    process: Process
    slot: int
    before: Mapping[str, Any]  # the run's status before it began
    ends: float  # the time limit
    dies: float = inf  # when it is killed
    asked: str | None = None  # why it was asked to stop

    def ask(self, why: str, grace: float) -> None:
        """Ask it to save its state and stop."""
        if self.asked is None:
            self.asked, self.dies = why, time.monotonic() + grace
            self.process.kill(signal.SIGTERM)


class Loop:
    """One run of the launcher.

    Args:
        launcher: its settings.
        sweep: what is told of each change of a job.
        jobs: those to start, in this order.
        display: shows what happens.
        wakeup: entered; its signals stop the loop, a second one at once.
        starter: entered; starts the processes.
    """

    def __init__(
        self, launcher: ProcessLauncher, sweep: Sweep, jobs: Sequence[Job], display: Display, wakeup: Wakeup, starter: Starter
    ) -> None:
        self.launcher, self.sweep, self.display, self.wakeup, self.starter = launcher, sweep, display, wakeup, starter
        self.waiting = deque(jobs)
        self.running: list[Running] = []
        self.shown = time.monotonic()

    def run(self) -> str | None:
        """Go on until nothing runs and nothing is to be started; returns the signal that stopped it."""
        try:
            while self.running or (self.waiting and not self.wakeup.stops):
                self._start()
                self._wait()
                self.starter.receive()
                self._obey()
                self._watch()
                self._collect()
        except BaseException:
            for one in self.running:
                one.process.kill(signal.SIGTERM)  # without us nobody would
            raise
        return self.wakeup.stops[0] if self.wakeup.stops else None

    def _start(self) -> None:
        """Fill the free slots."""
        while self.waiting and len(self.running) < self.launcher.jobs and self.starter.ready and not self.wakeup.stops:
            job = self.waiting.popleft()
            slot = min(set(range(self.launcher.jobs)) - {one.slot for one in self.running})
            job.state = "running"
            self.sweep.write()
            self.display.started(job)
            self.running.append(self._begun(job, slot))

    def _begun(self, job: Job, slot: int) -> Running:
        log = self.sweep.log(job)
        job.log_start = log.stat().st_size if log.exists() else 0
        before = job.run.read_status()
        told = document(job, self.launcher.threads, self.launcher.environment(slot))
        process = self.starter.start(told, log)
        return Running(job, process, slot, before, time.monotonic() + (self.launcher.time_limit or inf))

    def _wait(self) -> None:
        """Until a child ends, a signal comes, the server says something, a time is over, or there is something to show."""
        sources = [source for source in (self.wakeup.fileno(), self.starter.fileno()) if source is not None]
        times = [one.ends if one.asked is None else one.dies for one in self.running]
        until = min([*times, self.shown + self.display.pace])
        left = 0.0 if self.starter.news else BLINK if any(lost(one.process) for one in self.running) else inf
        select.select(sources, [], [], max(0.0, min(until - time.monotonic(), left)))
        self.wakeup.drain()
        if time.monotonic() >= self.shown + self.display.pace:
            self.shown = time.monotonic()
            self.display.show([one.job for one in self.running])

    def _obey(self) -> None:
        """A first signal asks the jobs to stop, a second one ends them."""
        if self.wakeup.stops and (asked := [one for one in self.running if one.asked is None]):
            self.display.note(f"{self.wakeup.stops[0]}: waiting for {len(asked)} jobs to save their state (once more: at once)")
            for one in asked:
                one.ask(STOP, self.launcher.grace)
        if len(self.wakeup.stops) > 1:
            for one in self.running:
                one.dies = 0.0

    def _watch(self) -> None:
        """Keep to the time limit and the grace after it."""
        for one in self.running:
            if time.monotonic() >= one.ends:
                one.ask(TIME_LIMIT, self.launcher.grace)
            if time.monotonic() >= one.dies:
                one.dies = inf
                kill_group(one.process.pid)

    def _collect(self) -> None:
        """Note how processes have ended."""
        self.starter.hush()
        for one in list(self.running):
            if (code := one.process.poll()) is None:
                continue
            self.running.remove(one)
            if code == UNKNOWN and one.asked is None and not finished(one.job, one.before, code):
                one.job.state = "pending"
                self.waiting.appendleft(one.job)  # its server has died, and it has saved its state
            else:
                judge(one.job, code, one.before, one.asked)
                self.display.ended(one.job)
            self.sweep.write()
