"""Pictures and their classes in a table: a line `image,label` for each, of several classes `cat;dog`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from segexp.data.class_names import given_classes
from segexp.data.label_files import LabelFiles, Listed, check_keys, divided, label_spec, labels_fingerprint, some
from segexp.errors import ConfigError, DataError
from segexp.types import DataSpec

SPLITS = ("train", "val", "test")
BETWEEN = ";"  # of several classes in one cell
Row = tuple[str, tuple[str, ...]]  # picture, classes


@dataclass(frozen=True)
class _Table:
    """The lines of one split: where each is, for messages, and what it says; of a test without labels none has classes."""

    rows: list[Row]
    places: list[str]
    labelled: bool


class _Found:
    """What was found, apart from the keys by which a cache tells one data set from another."""

    __slots__ = ("splits", "tables", "train")

    def __init__(self) -> None:
        self.tables: dict[str, _Table] | None = None
        self.splits: dict[str, Listed] | None = None
        self.train: Listed | None = None  # before chance took `val` from it


class LabelCsv:
    """The classes of pictures from CSV files with a head line.

    One file for each split (`{split}.csv`; only `train` must be there), or one for all: with a column `split`, else all is `train`.
    Where there is no `val`, chance takes it from `train`. A cell of several classes, `cat;dog`, or `several`, makes it a data set of
    the classes that a picture shows; there an empty cell is a picture that shows none. Else every picture has one class: an empty
    cell is refused. A `test` without the column of labels serves `segexp predict`.

    Args:
        root: the folder that the pictures' paths begin in.
        file: the table or tables, relative to `root`; `{split}` stands for the split.
        image, label, part: the names of the columns; `part` says of a line which split it is in.
        classes: in the order of their ids; null = all that occur in `train`, sorted.
        several: can a picture show several classes? null = yes if a cell has more than one.
        channels: of a picture.
        val_fraction: share of `val` where none is named.
        seed: of this division.

    Raises:
        ConfigError: a key is of a wrong kind or out of its range.
    """

    def __init__(
        self,
        *,
        root: str,
        file: str = "{split}.csv",
        image: str = "image",
        label: str = "label",
        part: str = "split",
        classes: Sequence[str] | None = None,
        several: bool | None = None,
        channels: int = 3,
        val_fraction: float = 0.2,
        seed: int = 0,
    ) -> None:
        check_keys(channels, val_fraction)
        if several not in (True, False, None):
            raise ConfigError("yes, no or null is wanted", where=f"data.several={several}", fix="data.several=true|false|null")
        self.root, self.file, self.columns = Path(root), file, (image, label, part)
        self.given, self.several, self.channels = given_classes(classes), several, channels
        self.val_fraction, self.seed = val_fraction, seed
        self._found = _Found()

    @cached_property
    def spec(self) -> DataSpec:
        """The classes; reads the tables where not both `classes` and `several` are given."""
        several = self.several
        if several is None:
            several = any(len(names) > 1 for table in self._tables().values() for _, names in table.rows)
        names = self.given or tuple(sorted({name for _, row in self._tables()["train"].rows for name in row}))
        if not names:
            raise ConfigError("no class occurs", where=self._path("train"), fix="fill the column of labels, or data.classes=[...]")
        return label_spec(names, several=several, channels=self.channels)

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have labels."""
        return tuple(split for split, listed in self._splits().items() if listed.labels is not None)

    def open(self, split: str) -> LabelFiles:
        """The pictures of a split, in the order of the table.

        Raises:
            ConfigError: a table or the split isn't there, or a table has no such column.
            DataError: a line names a class that isn't listed, a picture that isn't there, or one that was named before.
        """
        if split not in self._splits():
            raise ConfigError(f"there is no split {split!r}", where=self._path("train"), fix=f"data.split={'|'.join(self._splits())}")
        return LabelFiles(split, self._splits()[split], self.channels)

    def undivided(self) -> LabelFiles:
        """`train` and what chance took from it for `val`, for those who divide it themselves; raises what `open` raises."""
        splits = self._splits()
        return LabelFiles("train", self._found.train or splits["train"], self.channels)

    def fingerprint(self) -> str:
        """sha256 of the names and sizes of the pictures, and of the classes of each."""
        return labels_fingerprint(self, self.spec.names, self._splits())

    def _path(self, split: str) -> str:
        return str(self.root / self.file.replace("{split}", split))

    def _tables(self) -> dict[str, _Table]:
        if self._found.tables is None:
            if not Path(self._path("train")).is_file():
                fix = "a file with a head line image,label, or name it: data.root=<folder> data.file=<table> (relative to it)"
                raise ConfigError("there is no such table", where=f"{self._path('train')} (data.root, data.file)", fix=fix)
            if "{split}" in self.file:
                files = {split: Path(self._path(split)) for split in SPLITS}
                found = {split: _read(file, self.columns)["train"] for split, file in files.items() if file.is_file()}
            else:
                found = _read(Path(self._path("train")), self.columns, divided=True)
            self._found.tables = found
        return self._found.tables

    def _splits(self) -> Mapping[str, Listed]:
        if self._found.splits is None:
            tables, spec = self._tables(), self.spec
            if tables["train"].labelled is False:
                fix = f"name the column: data.label=<column> (now {self.columns[1]})"
                raise ConfigError("the table has no column of labels", where=self._path("train"), fix=fix)
            found = {split: self._listed(table, spec) for split, table in tables.items()}
            self._found.train = found["train"]
            if "val" not in found:
                found |= divided(found["train"], self.val_fraction, self.seed)
            self._found.splits = {split: found[split] for split in SPLITS if split in found}
            self._found.tables = None  # of millions of lines it is large
        return self._found.splits

    def _listed(self, table: _Table, spec: DataSpec) -> Listed:
        ids = {name: i for i, name in enumerate(spec.names)}
        seen: dict[str, str] = {}
        for (image, names), place in zip(table.rows, table.places, strict=True):
            if (other := seen.setdefault(image, place)) is not place:
                raise DataError(f"{image} is named twice, in {other}, too", where=place, fix="take one line away")
            if not (self.root / image).is_file():
                fix = "mend the line; paths are relative to data.root"
                raise DataError(f"there is no picture {image}", where=f"{place}, {self.root}", fix=fix)
            if strange := [name for name in names if name not in ids]:
                what = f"{strange[0]!r} is no class; the classes are {some(spec.names)}"
                raise DataError(what, where=place, fix="mend the line, or data.classes=[...]")
            if table.labelled and "label" in spec.provides and len(names) != 1:
                what = f"{len(names)} classes for {image}, one is wanted" if names else f"no class for {image}"
                raise DataError(what, where=place, fix="mend the line, or take it away; of several classes data.several=true")
        files = [image for image, _ in table.rows]
        if not table.labelled:
            return Listed.of(self.root, files, None)
        if "label" in spec.provides:
            return Listed.of(self.root, files, np.array([ids[names[0]] for _, names in table.rows], np.int64))
        shown = np.zeros((len(files), len(ids)), bool)
        for row, (_, names) in zip(shown, table.rows, strict=True):
            row[[ids[name] for name in names]] = True
        return Listed.of(self.root, files, shown)


def _read(file: Path, columns: Sequence[str], *, divided: bool = False) -> dict[str, _Table]:
    """The lines of a table by split; all are `train` where it isn't divided or has no such column.

    Raises:
        ConfigError: it has no column of pictures, or no line of `train`.
        DataError: a line is too short, or names an unknown split.
    """
    image, label, split = columns
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        head = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = head
        if image not in head:
            fix = f"data.image=<column>; there are {', '.join(head) or 'none'}"
            raise ConfigError(f"the table has no column {image}", where=str(file), fix=fix)
        found: dict[str, _Table] = {}
        for row in reader:
            place = f"{file}, line {reader.line_num}"
            if not (name := (row[image] or "").strip()) or (label in head and row[label] is None):
                raise DataError("the line is too short", where=place, fix=f"{image},{label}")
            part = (row[split] or "").strip() if divided and split in head else "train"
            if part not in SPLITS:
                raise DataError(f"there is no split {part!r}", where=place, fix=" | ".join(SPLITS))
            names = tuple(dict.fromkeys(text for cell in (row.get(label) or "").split(BETWEEN) if (text := cell.strip())))
            table = found.setdefault(part, _Table([], [], label in head))
            table.rows.append((name, names))
            table.places.append(place)
    if "train" not in found:
        raise ConfigError("no picture is listed for training", where=str(file), fix="add lines")
    return found
