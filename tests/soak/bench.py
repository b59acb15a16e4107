"""Where a soak works: the fork server, a folder, what is done already, and the undisturbed runs that others are compared with."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from segexp.sweeps import forks
from tests.soak.trial import TINY, Starter, Trial, ending

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
        chain: what that run is called, beside others of the same soak.
    """

    def __init__(self, server: Starter, folder: Path, *, seed: int = 0, overrides: Sequence[str] = TINY, chain: str = "") -> None:
        self.server, self.folder, self.seed, self.overrides = server, folder.absolute(), seed, tuple(overrides)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.journal, self.chain = Journal(self.folder / "journal.jsonl"), chain

    def of(self, chain: str, overrides: Sequence[str], server: Starter | None = None) -> Bench:
        """The same place with another run, started by another server if one is given."""
        if tuple(overrides) == self.overrides and server is None:
            return self
        return Bench(server or self.server, self.folder, seed=self.seed, overrides=overrides, chain=f"-{chain}")

    def trial(self, name: str, *overrides: str) -> Trial:
        """A run from scratch in a folder of that name."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return Trial(self.server, self.folder / name, [*self.overrides, *overrides])

    def whole(self, workers: int = 0) -> Row:
        """The undisturbed run with so many workers: its `ending`, and how many `seconds` it took."""
        name = f"whole{self.chain}"
        if row := self.journal.find(name, workers):
            return row
        trial = self.trial(f"{name}-{workers}", f"data.loader.workers={workers}")
        trial.finish()  # the first one also warms caches up
        trial = self.trial(f"{name}-{workers}", f"data.loader.workers={workers}")
        seconds = trial.finish()
        return self.journal.note(name, workers, {"seconds": seconds, "ending": ending(trial.run)})


@contextmanager
def short_bench(folder: Path, overrides: Sequence[str]) -> Iterator[Bench]:
    """A bench of its own server with traps, as long as it is entered."""
    with patch.object(forks, "SERVER", "tests.soak.server"), forks.ForkServer(grace=5) as server:
        yield Bench(server, folder, overrides=overrides)
