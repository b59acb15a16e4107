"""Kills within the save of a larger checkpoint: the newest one is always valid."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from segexp.functional.files import remove_orphans
from segexp.sweeps.forks import ForkedProcess
from segexp.weights.checkpoints import listed, name_of, newest, record_of, settle, write
from tests.soak.bench import Bench, Row
from tests.soak.kills import OPERATIONS
from tests.soak.trial import PATIENCE, other_disk

SEQUENCES = 150
WITHIN = 100  # kills that are to cut a save short, of so many
SAVES = "saves"  # the folder, one for all sequences: each goes on from what the one before has left
PHASES = ("state", "record", "pointer", "none")  # of a save; none: it was done, or older ones were being removed
SPREAD = 1.2  # of a save's seconds: how late a kill may come
CALLS = range(14, 40)  # changes to the disk in the second and third save of a process


def loop(document: Mapping[str, Any]) -> int:
    """In a child of the fork server: save without end, as the callback does."""
    import torch

    os.environ.update(document["env"])
    folder = Path(document["folder"])
    remove_orphans(folder)
    found, _ = newest(folder)
    step = record_of(found)["step"] if found else 0
    size = document["size"] // 4
    while True:
        step += 1
        state = {"state_dict": {str(part): torch.full((size // 16,), float(step)) for part in range(16)}}
        write(folder / f"{name_of(step)}.ckpt", state, {"step": step, "score": None, "pending": False})
        settle(folder, name_of(step), None)


def one(bench: Bench, number: int) -> Row:
    """Kill one save: at a random instant, every third one at a change to the disk."""
    rng, folder = Random(f"{bench.seed}/save/{number}"), bench.folder / SAVES
    folder.mkdir(exist_ok=True)
    before = newest_step(folder)
    size, share, call = rng.randrange(20_000_000, 60_000_000), rng.uniform(0, SPREAD), rng.choice(CALLS)
    document = {"instead": f"{__name__}:loop", "folder": str(folder), "size": size, "threads": 1, "env": other_disk(folder)}
    if by_call := number % 3 == 2:
        document["trap"] = {"at": OPERATIONS, "call": call}
    child = bench.server.start(document, folder / "log.txt")
    if not by_call:
        time.sleep(share * _one_save(child, folder))
        child.kill(signal.SIGKILL)
    code = child.wait(PATIENCE)
    problems = [] if code == -signal.SIGKILL else [f"exit {code}: see {folder / 'log.txt'}"]
    _, faults = newest(folder)
    now = newest_step(folder)
    problems += [str(fault) for fault in faults] + ([f"the newest was {before} and is {now}"] if now <= before else [])
    instant = f"at change {call}" if by_call else f"after {share:.0%} of one"
    return {"bytes": size, "instant": instant, "phase": phase(folder), "problems": problems}


def _one_save(child: ForkedProcess, folder: Path) -> float:
    """Wait for one whole save and the start of the next; the seconds between their beginnings."""
    seen: dict[str, float] = {}
    until = time.monotonic() + PATIENCE
    while len(seen) < 2:
        for path in folder.glob("step-*.ckpt.tmp.*"):
            if path.name.endswith(f".{child.pid}"):
                seen.setdefault(path.name, time.monotonic())
        assert child.poll() is None and time.monotonic() < until, "the child doesn't save"
        time.sleep(0.001)
    first, second = seen.values()
    return second - first


def newest_step(folder: Path) -> int:
    """The step of the newest valid checkpoint; 0 where there is none."""
    found, _ = newest(folder)
    return record_of(found)["step"] if found else 0


def phase(folder: Path) -> str:
    """What of a save was cut short, from what it left; one of `PHASES`."""
    names = {path.name for path in folder.iterdir()}
    if any(".ckpt.tmp." in name for name in names):
        return "state"  # being written, or read back
    if any(name.endswith(".ckpt") and name[:-5] + ".json" not in names for name in names):
        return "record"
    last = (folder / "LAST").read_text().strip() if "LAST" in names else ""
    return "pointer" if last != listed(folder)[0].stem else "none"


def line(row: Row) -> str:
    """A kill in a line."""
    return f"saves of {row['bytes'] / 1e6:.0f} MB, killed {row['instant']}: {row['phase']}"


def summary(rows: Sequence[Row]) -> tuple[dict[str, int], list[str]]:
    """Counts, and whether they are too few."""
    phases = [row["phase"] for row in rows]
    within = len(rows) - phases.count("none")
    short = [f"{within} kills within a save, wanted {WITHIN}"] if within < WITHIN and len(rows) >= SEQUENCES else []
    return {"kills": len(rows)} | {f"cut short: {name}": phases.count(name) for name in PHASES}, short
