"""Kills at random instants: a run ends as if it had never been disturbed. One part for each chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tests.soak.bench import Bench, Row
from tests.soak.trial import SMALL, TINY, Blow, differences, struck

OPERATIONS = [f"os:{name}" for name in ("fsync", "replace", "rename", "unlink", "mkdir", "truncate", "ftruncate")]
SHORT = ("data.train=16", "trainer.max_epochs=3")  # 24 steps
NARROW = tuple(f"decoder.parts.{part}.{key}=16" for part in ("semantic", "instance") for key in ("width", "aspp_width"))


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


def plan(name: str, number: int, changes: int = 160) -> Plan:
    """The sequence of a number: every second has workers, every third is killed at changes to the disk.

    Args:
        name: all draws are keyed by it and the number.
        number: of the sequence, from 0.
        changes: to the disk, of which one is the last at which a start is killed.
    """
    rng = Random(f"{name}/{number}")
    count, by = rng.randint(4, 7), "operation" if number % 3 == 2 else "time"
    if by == "time":
        every: int | None = rng.choice([1, 4, 7, None])
        instants: list[float] = [rng.uniform(0.0, 0.5) for _ in range(count)]
    else:
        every, quarter = rng.choice([1, 4]), changes // 4
        instants = [rng.randint(1, quarter) if rng.random() < 0.3 else rng.randint(quarter, changes) for _ in range(count)]
    groups = [rng.random() < 0.5 for _ in range(count)]
    return Plan(2 * (number % 2), every, rng.random() < 0.5, by, instants, groups)


@dataclass(frozen=True)
class Kills:
    """A part of the soak: one chain under the random killer.

    Args:
        name: of the part.
        overrides: of the run.
        SEQUENCES: how many unless said otherwise.
        wanted: counts that so many sequences are to reach.
        changes: as in `plan`.
    """

    name: str
    overrides: tuple[str, ...]
    SEQUENCES: int
    wanted: Mapping[str, int]
    changes: int = 160

    def one(self, bench: Bench, number: int) -> Row:
        """Play a sequence."""
        bench = bench.of(self.name, self.overrides)
        drawn = plan(f"{bench.seed}/{self.name}", number, self.changes)
        whole = bench.whole(drawn.workers)
        if drawn.by == "time":
            blows = [Blow(share * whole["seconds"], group=group) for share, group in zip(drawn.instants, drawn.groups, strict=True)]
        else:
            blows = [Blow(trap={"at": OPERATIONS, "call": int(call)}) for call in drawn.instants]
        every = "null" if drawn.every is None else drawn.every
        extra = (f"data.loader.workers={drawn.workers}", f"callbacks.checkpoint.every_n_train_steps={every}")
        row = struck(bench.trial(f"{self.name}-{number}", *extra), blows, whole["ending"], told=drawn.told)
        row["problems"] += [f"undisturbed, with workers: {text}" for text in differences(whole["ending"], bench.whole()["ending"])]
        return row | {"workers": drawn.workers, "every": drawn.every, "by": drawn.by}

    def line(self, row: Row) -> str:
        """A sequence in a line."""
        every = f"{row['workers']} workers, checkpoint every {row['every'] or 'epoch'}"
        return f"{every}, killed by {row['by']} after steps {steps(row)} (* saving)"

    def summary(self, rows: Sequence[Row]) -> tuple[dict[str, int], list[str]]:
        """Counts, and which of those that were asked for weren't reached."""
        counts = counted(rows) | {"with 2 workers": sum(len(row["deaths"]) for row in rows if row["workers"])}
        return counts, missed(counts, self.wanted) if len(rows) >= self.SEQUENCES else []


def steps(row: Row) -> str:
    """After which steps a run was killed; with a star where it was within a save."""
    return ", ".join(f"{death['step']}{'*' if death['saving'] else ''}" for death in row["deaths"])


def counted(rows: Sequence[Row]) -> dict[str, int]:
    """Sequences and deaths, and when these were."""
    deaths = [death for row in rows for death in row["deaths"]]
    return {
        "sequences": len(rows),
        "ended as undisturbed": sum(not row["problems"] for row in rows),
        "kills": len(deaths),
        "distinct steps": len({death["step"] for death in deaths}),
        "within a save": sum(bool(death["saving"]) for death in deaths),
        "before the first step": sum(death["step"] == 0 for death in deaths),
    }


def missed(counts: Mapping[str, int], wanted: Mapping[str, int]) -> list[str]:
    """Which counts are less than wanted."""
    return [f"{counts[name]} {name}, wanted {least}" for name, least in wanted.items() if counts[name] < least]


FEW = {"kills": 60, "distinct steps": 15, "within a save": 1}
SEMANTIC = Kills("kills", TINY, 60, {"kills": 200, "distinct steps": 60, "within a save": 1})
PANOPTIC = Kills("panoptic", (*SMALL, *SHORT, "model=panoptic_deeplab", *NARROW), 20, FEW, 80)
DETECTION = Kills("detection", (*SMALL, *SHORT, "model=fcos", "decoder.width=32", "head.convs=1"), 20, FEW, 80)
