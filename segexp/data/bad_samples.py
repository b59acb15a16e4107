"""The samples that can't be read, where the run goes on without them (`data.on_bad=skip`): each once in `bad_samples.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from segexp.errors import DataError
from segexp.functional.files import remove, write_atomic

NAME = "bad_samples.csv"
SHOWN = 3  # samples that an error names


@dataclass(frozen=True)
class Bad:
    """A sample that can't be read.

    Args:
        split: that was being read.
        id: of the sample.
        path: where the error is: a file, as a rule.
        code, what: of the error.
    """

    split: str
    id: str
    path: str
    code: str
    what: str


@dataclass
class Lost:
    """What stands in the place of a sample that is left out.

    Args:
        bad: what was met.
        fatal: nothing could take its place.
    """

    bad: list[Bad]
    fatal: bool


class BadSamples:
    """Keeps the list of a run; of several ranks each has a file of its own, until `merge`.

    Args:
        folder: of the run.
        most: so many different ones are borne.
        rank: who writes.
    """

    def __init__(self, folder: Path, most: int, rank: int = 0) -> None:
        self.folder, self.most = folder, most
        self.path = folder / (f"bad_samples.rank{rank}.csv" if rank else NAME)
        self.told: dict[tuple[str, str], Bad] = {}  # those that are known to stand in a file

    def add(self, found: Iterable[Bad], done: str) -> None:
        """Write down the samples that no rank and no earlier attempt has written down.

        Args:
            found: samples.
            done: what is done about them, for the message.

        Raises:
            DataError: there are too many.
        """
        met = {(bad.split, bad.id): bad for bad in found}
        if met.keys() <= self.told.keys():
            return
        self.told |= _read(self.folder)
        new = {key: bad for key, bad in met.items() if key not in self.told}
        if new:
            write_atomic(self.path, _text([*_rows(self.path), *new.values()]))
            self.told |= new
        for bad in new.values():
            print(f"warning: {done}: sample {bad.id}: {bad.what}; {bad.path} (data.on_bad=skip; {self.path.name})", flush=True)
        if len(self.told) > self.most:
            first = ", ".join(f"{bad.id} ({bad.path}: {bad.what})" for bad in list(self.told.values())[:SHOWN])
            fix = f"mend or remove the files that {self.path} lists, or data.max_bad={2 * len(self.told)}"
            raise DataError(
                f"{len(self.told)} samples can't be read, more than data.max_bad={self.most}: {first}, ...", where=str(self.path), fix=fix
            )


def merge(folder: Path) -> int:
    """Make one file of those of all ranks; how many samples it names. There is no file where there are none."""
    others = sorted(folder.glob("bad_samples.rank*.csv"))
    found = _read(folder)
    if others:
        write_atomic(folder / NAME, _text(found.values()))
        for path in others:
            remove(path)
    return len(found)


def _read(folder: Path) -> dict[tuple[str, str], Bad]:
    paths = [folder / NAME, *sorted(folder.glob("bad_samples.rank*.csv"))]
    found: dict[tuple[str, str], Bad] = {}
    for bad in (bad for path in paths for bad in _rows(path)):
        found.setdefault((bad.split, bad.id), bad)
    return found


def _rows(path: Path) -> list[Bad]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
    except FileNotFoundError:
        return []
    return [Bad(*row) for row in rows if len(row) == len(fields(Bad))]


def _text(found: Iterable[Bad]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([field.name for field in fields(Bad)])
    writer.writerows(astuple(bad) for bad in found)
    return file.getvalue()
