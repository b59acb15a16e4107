"""kill -9 of one of two ranks at a random instant: nobody is left within a minute, and the run ends as one that nobody killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from segexp.errors import RankError
from segexp.functional.interpreters import interpreter
from segexp.ranks.layout import MINE
from segexp.sweeps.processes import kill_group
from tests.soak.bench import Bench, Row
from tests.soak.kills import SHORT, counted, missed, steps
from tests.soak.trial import PATIENCE, TINY, Trial, lost, newest_order, struck, unfinished

SEQUENCES = 20
LIMIT = 60.0  # seconds from the kill until nobody is left
WANTED = {"kills": 60, "distinct steps": 10, "within a save": 5, "before the first step": 5, "of rank 0": 20, "of rank 1": 20}
OVERRIDES = (*TINY, *SHORT, "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "data.train=32")  # 8 steps an epoch
LOOK = 0.001  # seconds between two looks


@dataclass(frozen=True)
class Blow:
    """The kill of a rank.

    Args:
        rank: which.
        seconds: after the start.
        steps: or within the first save when so many more are saved, if any.
    """

    rank: int
    seconds: float
    steps: int | None = None


class Leader:
    """The process of rank 0 in a session of its own, and all others of that session. Nothing here ends one for the other.

    Args:
        document: of the run.
        output: the file to which stdout and stderr are appended.
    """

    def __init__(self, document: Mapping[str, Any], output: Path) -> None:
        with tempfile.TemporaryFile() as text, output.open("ab") as log:
            text.write(json.dumps(document).encode())
            text.seek(0)
            command, environment = interpreter("segexp.sweeps.child", str(os.getpid())), os.environ | document.get("env", {})
            self._popen = subprocess.Popen(command, stdin=text, stdout=log, stderr=log, env=environment, start_new_session=True)
        self.pid = self._popen.pid

    def wait(self, timeout: float | None = None) -> int:
        return self._popen.wait(timeout)

    def poll(self) -> int | None:
        return self._popen.poll()

    def kill(self, number: int) -> None:
        self._popen.send_signal(number)

    def others(self) -> dict[int, int]:
        """Those that live of its session: process -> rank (-1: none)."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):  # one that has just ended
                state, _, _, session = (path / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) == self.pid != int(path.name) and state != "Z":
                    found[int(path.name)] = _rank(path / "environ")
        return found

    def rank(self, number: int) -> int | None:
        """The process of a rank; None where it hasn't begun."""
        return self.pid if number == 0 else next((pid for pid, rank in self.others().items() if rank == number), None)


class Leaders:
    """Starts runs of several ranks; the fork server would end the others of a group itself."""

    def start(self, document: Mapping[str, Any], output: Path) -> Leader:
        return Leader(document, output)


def _rank(environ: Path) -> int:
    entries = [entry for entry in environ.read_bytes().split(b"\0") if entry.startswith(MINE.encode() + b"=")]
    return int(entries[0].partition(b"=")[2].split()[0]) if entries else -1


def one(bench: Bench, number: int) -> Row:
    """Play a sequence: three to five kills; every second falls into a save."""
    bench = bench.of("ranks", OVERRIDES, Leaders())
    whole, rng = bench.whole(), Random(f"{bench.seed}/ranks/{number}")
    blows = [_drawn(rng, whole["seconds"]) for _ in range(rng.randint(3, 5))]
    every = rng.choice([1, 2])
    trial = bench.trial(f"ranks-{number}", f"callbacks.checkpoint.every_n_train_steps={every}")
    return struck(trial, blows, whole["ending"], by=strike) | {"every": every}


def _drawn(rng: Random, seconds: float) -> Blow:
    rank, steps = rng.randint(0, 1), rng.randint(0, 5)
    return Blow(rank, rng.uniform(0.0, 0.5) * seconds, steps if rng.random() < 0.5 else None)


def strike(trial: Trial, blow: Blow) -> Row | None:
    """Start a trial and kill one of its ranks.

    Returns:
        `rank`, `step`, `saving`, `gone` (seconds until nobody was left) and `problems`; None if it ended by itself.
    """
    before, best = unfinished(trial.run), newest_order(trial.run)
    child = trial.start()
    assert isinstance(child, Leader)
    if (pid := _at(trial, child, blow, before)) is None:
        _gone(child)
        return None
    os.kill(pid, signal.SIGKILL)
    saving = sorted(unfinished(trial.run) - before)
    seconds = _gone(child)
    problems = [f"rank {blow.rank}: {len(child.others())} left after {seconds:.0f} s"] if seconds > LIMIT else []
    kill_group(child.pid)
    if (code := child.wait(PATIENCE)) == 0:
        return None  # it was just leaving
    problems += _said(trial, blow.rank, code) + lost(trial.run, best)
    return {"rank": blow.rank, "step": trial.step(), "saving": saving, "gone": round(seconds, 2), "problems": problems}


def _at(trial: Trial, child: Leader, blow: Blow, before: set[str]) -> int | None:
    """Wait for the instant of a blow and for its rank to be there; the process, None where the run ended before."""
    began, step = time.monotonic(), trial.step()
    while child.poll() is None and time.monotonic() - began < PATIENCE:
        if blow.steps is None:
            due = time.monotonic() - began >= blow.seconds
        else:
            due = bool(unfinished(trial.run) - before) and trial.step() >= step + blow.steps
        if due and (pid := child.rank(blow.rank)):
            return pid
        time.sleep(LOOK)
    return None


def _gone(child: Leader) -> float:
    """Wait until nobody of a session is left; returns the seconds, a little more than `LIMIT` where somebody is."""
    began = time.monotonic()
    while (child.poll() is None or child.others()) and time.monotonic() - began <= LIMIT:
        time.sleep(0.02)
    return time.monotonic() - began


def _said(trial: Trial, rank: int, code: int) -> list[str]:
    """What is wrong with how the first rank ended: it was killed, or says which other one was."""
    if rank == 0:
        return [] if code == -signal.SIGKILL else [f"exit {code}: {trial.said()}"]
    right = code == RankError.exit_code and f"error[{RankError.code}]: rank {rank} " in trial.said()
    return [] if right else [f"rank {rank} was killed and the run ends with exit {code}: {trial.said()}"]


def line(row: Row) -> str:
    """A sequence in a line."""
    killed = ", ".join(f"{death['rank']} ({death['gone']:.1f} s)" for death in row["deaths"])
    return f"checkpoint every {row['every']}, killed ranks {killed} after steps {steps(row)} (* saving)"


def summary(rows: Sequence[Row]) -> tuple[dict[str, int | float], list[str]]:
    """Counts, and which of those that were asked for weren't reached."""
    deaths = [death for row in rows for death in row["deaths"]]
    counts = counted(rows) | {f"of rank {rank}": sum(death["rank"] == rank for death in deaths) for rank in (0, 1)}
    longest = {"longest until nobody was left": max((death["gone"] for death in deaths), default=0.0)}
    return counts | longest, missed(counts, WANTED) if len(rows) >= SEQUENCES else []
