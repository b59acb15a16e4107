"""The driver's loop: start what fits, wait for whatever happens next, look after what runs."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Any

from segexp.errors import ConfigError
from segexp.sweeps.forks import UNKNOWN
from segexp.sweeps.jobs import STOP, TIME_LIMIT, Job, document, finished, judge
from segexp.sweeps.launchers import Launcher, Starts
from segexp.sweeps.processes import Process
from segexp.sweeps.source import Source
from segexp.sweeps.starter import lost
from segexp.sweeps.sweep import Sweep
from segexp.sweeps.table import Display
from segexp.sweeps.wakeup import Wakeup

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
        source: of the jobs to start.
        display: shows what happens.
        wakeup: entered; its signals stop the loop, a second one at once.
        starter: entered; starts the processes.
    """

    def __init__(self, launcher: Launcher, sweep: Sweep, source: Source, display: Display, wakeup: Wakeup, starter: Starts) -> None:
        self.launcher, self.sweep, self.display, self.wakeup, self.starter = launcher, sweep, display, wakeup, starter
        self.source = source
        self.running: list[Running] = []
        self.shown = time.monotonic()

    def run(self) -> str | None:
        """Go on until nothing runs and nothing is to be started; returns the signal that stopped it."""
        try:
            while (self.running and not self._leaves()) or (self.source and not self.wakeup.stops):
                self._start()
                self._wait()
                self.starter.receive()
                self._hear()
                self._obey()
                self._watch()
                self._collect()
        except BaseException:
            for one in [] if self.starter.detaches else self.running:
                one.process.kill(signal.SIGTERM)  # without us nobody would
            raise
        if self.running:
            self.display.note(self.starter.farewell())
        return self.wakeup.stops[0] if self.wakeup.stops else None

    def _leaves(self) -> bool:
        """Was it asked to stop, and do the jobs go on without it?"""
        return self.starter.detaches and bool(self.wakeup.stops)

    def _start(self) -> None:
        """Fill the free slots."""
        while self._free() and (job := self.source.take()):
            taken = {one.slot for one in self.running}
            slot = next(number for number in count() if number not in taken)
            job.state = "running"
            self.sweep.write()
            self.display.started(job)
            try:
                self.running.append(self._begun(job, slot))
            except ConfigError as error:  # it can't be started here, others can
                job.fail(error.code, error.line())
                self.source.ended(job)
                self.display.refused(job)
                self.sweep.write()
        self.starter.flush()

    def _free(self) -> bool:
        return len(self.running) < self.launcher.slots and self.starter.ready and not self.wakeup.stops

    def _begun(self, job: Job, slot: int) -> Running:
        log = self.sweep.log(job)
        job.log_start = log.stat().st_size if log.exists() else 0
        before = job.run.read_status()
        told = document(job, self.launcher.threads_of(job), self.launcher.environment(slot))
        process = self.starter.start(told, log, job)
        return Running(job, process, slot, before, time.monotonic() + (self.launcher.time_limit or inf))

    def _wait(self) -> None:
        """Until a child ends, a signal comes, the server says something, a time is over, or there is something to show."""
        told = (self.wakeup.fileno(), self.starter.fileno(), self.source.fileno())
        sources = [source for source in told if source is not None]
        times = [one.ends if one.asked is None else one.dies for one in self.running]
        until = min([*times, self.shown + self.display.pace, time.monotonic() + (self.source.pause if self._free() else inf)])
        left = 0.0 if self.starter.news else BLINK if any(lost(one.process) for one in self.running) else self.starter.pause
        select.select(sources, [], [], max(0.0, min(until - time.monotonic(), left)))
        self.wakeup.drain()
        if time.monotonic() >= self.shown + self.display.pace:
            self.shown = time.monotonic()
            self.display.show([one.job for one in self.running if not one.process.waits])

    def _hear(self) -> None:
        """Note the jobs that can't run: they aren't started."""
        for job in self.source.receive():
            self.display.refused(job)
            self.sweep.write()

    def _obey(self) -> None:
        """A first signal asks the jobs to stop, a second one ends them; where they go on without us, we just leave."""
        if self.starter.detaches:
            return
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
                one.process.destroy()

    def _collect(self) -> None:
        """Note how processes have ended."""
        self.starter.hush()
        for one in list(self.running):
            if (code := one.process.poll()) is None:
                continue
            self.running.remove(one)
            if code == UNKNOWN and one.asked is None and not finished(one.job, one.before, code):
                one.job.state = "pending"
                self.source.back(one.job)  # its server has died, and it has saved its state
            else:
                judge(one.job, code, one.before, one.asked or one.process.why)
                self.source.ended(one.job)
                self.display.ended(one.job)
            self.sweep.write()
