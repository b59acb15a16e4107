"""Where a loop takes its jobs from: a list of them, or a search that makes the next one when there is room for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Protocol

from segexp.sweeps.jobs import Job

if TYPE_CHECKING:
    from segexp.check.ahead import Ahead


class Source(Protocol):
    """Jobs to start."""

    @property
    def several(self) -> bool:
        """Are more than one of them to be expected?"""
        ...

    @property
    def pause(self) -> float:
        """Seconds after which `take` is to be asked again although no job has ended."""
        ...

    def __bool__(self) -> bool:
        """Is there to be another job, now or once others have ended?"""
        ...

    def take(self) -> Job | None:
        """A job to start now; None if there is none at the moment."""
        ...

    def back(self, job: Job) -> None:
        """A job that was taken is to be started once more."""
        ...

    def ended(self, job: Job) -> None:
        """A job that was taken has its last state."""
        ...

    def fileno(self) -> int | None:
        """What becomes readable when there is something for `receive`; None where there is never any."""
        ...

    def receive(self) -> list[Job]:
        """Jobs that have failed without being taken, since the last call: they couldn't have run."""
        ...


class Listed:
    """Jobs in their order.

    Args:
        jobs: composed.
        ahead: a process that looks at them while they wait.
    """

    pause = inf

    def __init__(self, jobs: Iterable[Job], ahead: Ahead | None = None) -> None:
        self.waiting, self.ahead = deque(jobs), ahead
        self.several = len(self.waiting) > 1

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def take(self) -> Job | None:
        return self.waiting.popleft() if self.waiting else None

    def back(self, job: Job) -> None:
        self.waiting.appendleft(job)

    def ended(self, job: Job) -> None:
        return

    def fileno(self) -> int | None:
        return self.ahead.fileno() if self.ahead else None

    def receive(self) -> list[Job]:
        waiting = {job.number: job for job in self.waiting}
        found = [(waiting[number], error) for number, error in (self.ahead.verdicts() if self.ahead else ()) if number in waiting]
        refused = [(job, error) for job, error in found if error]
        for job, error in refused:
            self.waiting.remove(job)
            job.fail(error.code, error.line())
        return [job for job, _ in refused]
