"""The runs of a folder that didn't end well, or haven't ended: what stopped them, in their own last words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from segexp.report.members import Member, tail

MAX_SHOWN = 50  # of one kind; the rest is counted
FAILED = ("failed", "killed", "held")


@dataclass(frozen=True)
class Failure:
    """A run that failed, with the commands of others that failed of the same, and how many there are."""

    name: str
    state: str
    command: str
    error: dict[str, str]
    lines: tuple[str, ...]
    same: tuple[str, ...] = ()
    count: int = 0


def failures(runs: Sequence[Member]) -> list[Failure]:
    """The runs that failed, those of one error together, the commonest first."""
    groups: dict[tuple[str, str], list[Member]] = {}
    for run in runs:
        if run.state in FAILED:
            groups.setdefault((run.error.get("code", ""), run.error.get("what", "")), []).append(run)
    ordered = sorted(groups.values(), key=len, reverse=True)[:MAX_SHOWN]
    return [_failure(*group) for group in ordered]


def _failure(first: Member, *same: Member) -> Failure:
    commands = tuple(run.command for run in same[:MAX_SHOWN])
    return Failure(first.name, first.state, first.command, dict(first.error), tuple(tail(first.log)), commands, len(same))


def states(runs: Sequence[Member]) -> list[tuple[str, int]]:
    """How many runs are in each state, the commonest first."""
    return Counter(run.state for run in runs).most_common()


def of_state(runs: Sequence[Member], *names: str) -> list[tuple[int, Member]]:
    """The runs in one of these states with their places, as many as a page shows."""
    return [(place, run) for place, run in enumerate(runs) if run.state in names][:MAX_SHOWN]
