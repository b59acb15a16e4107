"""Many start the same run at once: one makes it, the others say who does."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from segexp.errors import HeldError
from segexp.sweeps.forks import ForkedProcess
from tests.soak.bench import Bench, Row
from tests.soak.trial import PATIENCE, Trial, differences, ended, ending

SEQUENCES = 20
STARTERS = 20


def one(bench: Bench, number: int) -> Row:
    """One round: all wait for a file, and whoever wins waits for the others to end before it trains."""
    whole = bench.whole()["ending"]
    trial = bench.trial(f"lock-{number}")
    now, go_on = trial.folder / "now", trial.folder / "go-on"
    logs = [trial.folder / f"starter-{index}.txt" for index in range(STARTERS)]
    children = [_starter(trial, log, now, go_on) for log in logs]
    now.touch()
    _but_one(children)
    go_on.touch()
    codes = [ended(child, PATIENCE) for child in children]
    winners = [child.pid for child, code in zip(children, codes, strict=True) if code == 0]
    held = codes.count(HeldError.exit_code)
    problems = [] if (len(winners), held) == (1, STARTERS - 1) else [f"{len(winners)} won, {held} were refused; exit codes {codes}"]
    if len(winners) == 1:
        named = re.compile(rf"segexp: error\[held\]: process {winners[0]} on {re.escape(socket.gethostname())} \(since \S+\) has this run;")
        losers = [log for log, code in zip(logs, codes, strict=True) if code]
        problems += [f"{log.name}: {text}" for log in losers if not named.match(text := _last(log))]
        problems += differences(ending(trial.run), whole)
    return {"winners": len(winners), "held": held, "problems": problems}


def _starter(trial: Trial, log: Path, now: Path, go_on: Path) -> ForkedProcess:
    trial.log = log
    return trial.start(after=str(now), trap={"at": ["segexp.runs.execute:fit"], "call": 1, "until": str(go_on)})


def _but_one(children: Sequence[ForkedProcess]) -> None:
    """Wait until at most one of them runs."""
    until = time.monotonic() + PATIENCE
    while sum(child.poll() is None for child in children) > 1 and time.monotonic() < until:
        time.sleep(0.01)


def _last(log: Path) -> str:
    return (log.read_text().strip().splitlines() or [""])[-1]


def line(row: Row) -> str:
    """A round in a line."""
    return f"{STARTERS} at once: {row['winners']} won, {row['held']} named it"


def summary(rows: Sequence[Row]) -> tuple[dict[str, int], list[str]]:
    """Counts."""
    return {"rounds": len(rows), "winners": sum(row["winners"] for row in rows), "refused": sum(row["held"] for row in rows)}, []
