"""`segexp check`: every job of a command looked at, every fault told once with the jobs that have it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segexp.check.values import Wrong, refusal, wrong_values
from segexp.config import compose, session
from segexp.errors import ConfigError, SegexpError

if TYPE_CHECKING:
    from omegaconf import DictConfig

PACE = 2.0  # seconds before something that takes long says how far it is


@dataclass
class Fault:
    """Something that is wrong, as one error, and the jobs that have it."""

    error: SegexpError
    warning: bool = False
    jobs: list[int] = field(default_factory=list)


@dataclass
class Found:
    """All that a check found.

    Args:
        jobs: how many were looked at.
        faults: those that refuse a job, then warnings.
        said: what was looked at, in a line.
    """

    jobs: int
    faults: list[Fault]
    said: str = ""

    @property
    def refused(self) -> list[Fault]:
        return [fault for fault in self.faults if not fault.warning]


def check(jobs: Sequence[Sequence[str]], *, names_only: bool = False, data: bool = True, primary: str = "train") -> Found:
    """Look at all jobs.

    Args:
        jobs: the overrides of each.
        names_only: leave out what needs torch.
        data: look at the data, too.
        primary: the primary config's name.
    """
    faults: dict[tuple[str, str, str], Fault] = {}
    configs: list[tuple[int, Sequence[str], DictConfig]] = []
    with session():
        for number, overrides in _paced(list(enumerate(jobs, 1)), "names, keys and types"):
            config, wrong = _names(overrides, primary)
            _note(faults, number, overrides, wrong, primary)
            if config is not None and not wrong:
                configs.append((number, overrides, config))
        if names_only or not configs:
            return Found(len(jobs), list(faults.values()), f"{len(jobs)} jobs: names, keys, types")
        print("importing torch", file=sys.stderr, flush=True) if sys.stderr.isatty() else None
        from segexp.check.rest import Rest, summary

        rest = Rest(data=data)
        for number, overrides, config in _paced(configs, "chains, data, machine"):
            _note(faults, number, overrides, rest(config), primary)
    ordered = sorted(faults.values(), key=lambda fault: fault.warning)
    return Found(len(jobs), ordered, summary(configs, rest))


def _names(overrides: Sequence[str], primary: str) -> tuple[DictConfig | None, list[Wrong] | list[SegexpError]]:
    try:
        config = compose(primary, overrides)
        return config, wrong_values(config, primary=primary)
    except SegexpError as error:
        return None, [error]


def _note(faults: dict[Any, Fault], number: int, overrides: Sequence[str], wrong: Sequence[Any], primary: str) -> None:
    """Add what is wrong with a job to what is known; only what is new is looked up."""
    for one in wrong:
        key = (one.what, one.key, one.fix) if isinstance(one, Wrong) else (one.what, one.where, one.fix)
        if key not in faults:
            error = refusal([one], overrides, primary=primary) if isinstance(one, Wrong) else one
            faults[key] = Fault(error, isinstance(one, Wrong) and one.warning)
        faults[key].jobs.append(number)


def _paced(items: Sequence[Any], what: str) -> Iterator[Any]:
    """The items; after a while a line says how far they are."""
    began = said = time.monotonic()
    for number, item in enumerate(items):
        if time.monotonic() - said > PACE:
            said = time.monotonic()
            left = (said - began) / number * (len(items) - number) if number else 0.0
            print(f"{what}: {number} of {len(items)} jobs, {left:.0f} s left", file=sys.stderr, flush=True)
        yield item


def told(found: Found) -> str:
    """A line for each fault and warning, with its jobs."""
    several = found.jobs > 1
    lines = []
    for fault in found.faults:
        kind = "warning" if fault.warning else "wrong"
        lines.append(f"{kind}{f' in {numbers(fault.jobs, found.jobs)}' if several else ''}: {fault.error}")
    return "\n".join(lines)


def numbers(jobs: Sequence[int], total: int) -> str:
    """`all 12 jobs`, `job 3`, `jobs 1-4, 7`."""
    if len(jobs) == total:
        return f"all {total} jobs"
    spans: list[list[int]] = []
    for number in jobs:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    text = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
    return f"job{'s' * (len(jobs) > 1)} {text}"


def verdict(found: Found) -> ConfigError | None:
    """The error that a command ends with; None where nothing is refused."""
    if not found.refused:
        return None
    if found.jobs == 1 and len(found.refused) == 1:
        only = found.refused[0].error
        return ConfigError(only.what, where=only.where, fix=only.fix)
    bad = sorted({number for fault in found.refused for number in fault.jobs})
    what = f"{len(found.refused)} {'thing is' if len(found.refused) == 1 else 'things are'} wrong" + (
        f" in {len(bad)} of {found.jobs} jobs" if found.jobs > 1 else ""
    )
    return ConfigError(
        what, where="; ".join(dict.fromkeys(fault.error.where for fault in found.refused[:4])), fix="mend what is listed above"
    )


def expanded(overrides: Sequence[str], *, multirun: bool, primary: str = "train") -> list[list[str]]:
    """The overrides of each job of a command: one, those of a sweep, or those of a benchmark.

    Of an interval, from which a search draws, the two ends are taken.

    Raises:
        ConfigError: an override can't be read, or a search makes no sense, as that command would say as well.
    """
    from segexp.search.plan import plan
    from segexp.sweeps.benchmark import chosen
    from segexp.sweeps.grid import expand

    if not multirun and not chosen(overrides):
        return [list(overrides)]
    with session():
        if primary == "train" and not chosen(overrides):
            plan(overrides)
        return expand(primary, [_ends(text) for text in overrides])


def _ends(text: str) -> str:
    import re

    return re.sub(r"=(?:tag\([^()]*,\s*)?interval\(\s*([^,()]+),\s*([^,()]+)\)\)?$", r"=\1,\2", text)
