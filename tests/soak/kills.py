"""Kills at random instants: a run ends as if it had never been disturbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.soak.bench import Bench, Row
from tests.soak.trial import Blow, differences, struck

OPERATIONS = [f"os:{name}" for name in ("fsync", "replace", "rename", "unlink", "mkdir", "truncate", "ftruncate")]
WANTED = {"kills": 200, "distinct steps": 60, "within a save": 1}  # of 60 sequences
SEQUENCES = 60


@dataclass(frozen=True)
class Plan:
    """One sequence, drawn from its number.

    Args:
        workers: of the loaders.
        every: steps between checkpoints; None for those after validations alone.
        told: a kill is said in the run's directory, as a sweep does.
        instants: shares of the undisturbed run's time, or numbers of changes to the disk.
        by: `time` or `operation`, whichever the instants are.
        groups: does the blow fall on the whole group?
    """

    workers: int
    every: int | None
    told: bool
    by: str
    instants: Sequence[float]
    groups: Sequence[bool]


def plan(seed: int, number: int) -> Plan:
    """The sequence of a number: every second has workers, every third is killed at changes to the disk."""
    rng = Random(f"{seed}/{number}")
    count, by = rng.randint(4, 7), "operation" if number % 3 == 2 else "time"
    if by == "time":
        every: int | None = rng.choice([1, 4, 7, None])
        instants: list[float] = [rng.uniform(0.0, 0.5) for _ in range(count)]
    else:
        every = rng.choice([1, 4])
        instants = [rng.randint(1, 40) if rng.random() < 0.3 else rng.randint(40, 160) for _ in range(count)]
    groups = [rng.random() < 0.5 for _ in range(count)]
    return Plan(2 * (number % 2), every, rng.random() < 0.5, by, instants, groups)


def one(bench: Bench, number: int) -> Row:
    """Play a sequence."""
    drawn = plan(bench.seed, number)
    whole = bench.whole(drawn.workers)
    if drawn.by == "time":
        blows = [Blow(share * whole["seconds"], group=group) for share, group in zip(drawn.instants, drawn.groups, strict=True)]
    else:
        blows = [Blow(trap={"at": OPERATIONS, "call": int(call)}) for call in drawn.instants]
    every = "null" if drawn.every is None else drawn.every
    trial = bench.trial(f"kills-{number}", f"data.loader.workers={drawn.workers}", f"callbacks.checkpoint.every_n_train_steps={every}")
    row = struck(trial, blows, whole["ending"], told=drawn.told)
    row["problems"] += [f"undisturbed, with workers: {text}" for text in differences(whole["ending"], bench.whole()["ending"])]
    return row | {"workers": drawn.workers, "every": drawn.every, "by": drawn.by}


def line(row: Row) -> str:
    """A sequence in a line."""
    deaths = row["deaths"]
    steps = ", ".join(f"{death['step']}{'*' if death['saving'] else ''}" for death in deaths)
    return f"{row['workers']} workers, checkpoint every {row['every'] or 'epoch'}, killed by {row['by']} after steps {steps} (* saving)"


def summary(rows: Sequence[Row]) -> tuple[dict[str, int], list[str]]:
    """Counts, and which of those that were asked for weren't reached."""
    deaths = [death for row in rows for death in row["deaths"]]
    counts = {
        "sequences": len(rows),
        "kills": len(deaths),
        "distinct steps": len({death["step"] for death in deaths}),
        "within a save": sum(bool(death["saving"]) for death in deaths),
        "before the first step": sum(death["step"] == 0 for death in deaths),
        "with 2 workers": sum(len(row["deaths"]) for row in rows if row["workers"]),
    }
    short = [f"{counts[name]} {name}, wanted {least}" for name, least in WANTED.items() if counts[name] < least]
    return counts, short if len(rows) >= SEQUENCES else []
