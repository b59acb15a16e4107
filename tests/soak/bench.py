"""Where a soak works: the fork server, a folder, what is done already, and the undisturbed runs that others are compared with."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segexp.sweeps.forks import ForkServer
from tests.soak.trial import TINY, Trial, ending

ROOT = Path(__file__).resolve().parents[2]
Row = dict[str, Any]


def sources() -> str:
    """A digest of all that is on trial, so that what was found of other code isn't taken for found."""
    paths = sorted(
        path for part in ("segexp", "conf", "tests/soak") for path in (ROOT / part).rglob("*") if path.suffix in (".py", ".yaml")
    )
    return hashlib.sha256(b"\0".join(str(path.relative_to(ROOT)).encode() + path.read_bytes() for path in paths)).hexdigest()


class Journal:
    """What is done, a line of JSON each: `{"part", "number", ...}`; a line that was cut short is done again.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[tuple[str, int], Row] = {}
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                self._keep(json.loads(line))
            except ValueError:
                continue

    def find(self, part: str, number: int) -> Row | None:
        """What was found; None if nothing yet."""
        return self.rows.get((part, number))

    def note(self, part: str, number: int, row: Row) -> Row:
        """Keep what was found; returns it as it will be read."""
        line = json.dumps({"part": part, "number": number} | row)
        with self.path.open("a") as file:
            file.write(line + "\n")
        return self._keep(json.loads(line))

    def _keep(self, row: Row) -> Row:
        self.rows[row["part"], row["number"]] = row
        return row


class Bench:
    """What the parts of a soak share.

    Args:
        server: a fork server with traps.
        folder: of everything.
        seed: of all random instants.
        overrides: of the run that is tried.
    """

    def __init__(self, server: ForkServer, folder: Path, *, seed: int = 0, overrides: Sequence[str] = TINY) -> None:
        self.server, self.folder, self.seed, self.overrides = server, folder.absolute(), seed, tuple(overrides)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(self.folder / "journal.jsonl")

    def trial(self, name: str, *overrides: str) -> Trial:
        """A run from scratch in a folder of that name."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return Trial(self.server, self.folder / name, [*self.overrides, *overrides])

    def whole(self, workers: int = 0) -> Row:
        """The undisturbed run with so many workers: its `ending`, and how many `seconds` it took."""
        if row := self.journal.find("whole", workers):
            return row
        trial = self.trial(f"whole-{workers}", f"data.loader.workers={workers}")
        trial.finish()  # the first one also warms caches up
        trial = self.trial(f"whole-{workers}", f"data.loader.workers={workers}")
        seconds = trial.finish()
        return self.journal.note("whole", workers, {"seconds": seconds, "ending": ending(trial.run)})
