"""All samples of a split, read once: a row of facts each, and findings. What was read before comes from a cache."""

from __future__ import annotations

import json
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from segexp.doctor.examine import Examined, Examiner, facts_type
from segexp.doctor.findings import Finding
from segexp.doctor.stamps import Stamps, signature
from segexp.functional.files import write_atomic
from segexp.functional.signals import calm

CHUNK = 16  # samples that a worker reads at a time
SAVE = 120.0  # seconds between two savings of what has been read
Progress = Callable[[str, int, int], None]  # split, samples read, samples to read


@dataclass
class Scan:
    """One split.

    Args:
        name: of the split.
        split: what the data set's `open` returned.
        rows: `facts_type`, one per sample.
        findings: about single samples, with their ids.
        reread: how many samples weren't in the cache.
    """

    name: str
    split: Any
    rows: np.ndarray
    findings: list[Finding]
    reread: int = 0

    def paths(self, index: int) -> tuple[str, ...]:
        """The files of a sample, as text; none where it has none."""
        if not hasattr(self.split, "paths"):
            return ()
        return tuple(str(path) for path in self.split.paths(index) if path is not None)

    def picture(self, index: int) -> str:
        """What a sample's picture is called: its file, or its id."""
        return next(iter(self.paths(index)), self.split.id(index))


class Cache:
    """Rows and findings by stamp, in one file per split; without a folder nothing is kept.

    Args:
        folder: for the files.
        dataset: the data set.
    """

    def __init__(self, folder: Path | None, dataset: Any) -> None:
        self.folder, self.type = folder, facts_type(dataset.spec)  # a set may find its classes only now
        self.prefix = f"{type(dataset).__name__.lower()}-{signature(dataset)}"

    def load(self) -> tuple[np.ndarray, dict[int, list[Finding]]]:
        """(Rows of all splits in the order of their stamps, findings by stamp); files that can't be read count for nothing."""
        parts, findings = [np.zeros(0, self.type)], {}
        for path in sorted(self.folder.glob(f"{self.prefix}-*.npz")) if self.folder else []:
            try:
                with np.load(path) as file:
                    rows, text = file["rows"], file["findings"].tobytes()
                found = json.loads(text)
                if rows.dtype == self.type:
                    parts.append(rows)
                    findings |= {
                        int(stamp): [Finding(kind, what, tuple(paths), fix=fix) for kind, what, paths, fix in group]
                        for stamp, group in found.items()
                    }
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
                continue
        rows = np.concatenate(parts)
        return rows[np.argsort(rows["stamp"], kind="stable")], findings

    def save(self, name: str, rows: np.ndarray, findings: dict[int, list[Finding]]) -> None:
        """Keep what is known of a split."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        plain = {stamp: [(f.kind, f.what, f.paths, f.fix) for f in group] for stamp, group in findings.items() if stamp}
        text = np.frombuffer(json.dumps(plain).encode(), np.uint8)
        rows = rows[rows["stamp"] > 0]
        write_atomic(self.folder / f"{self.prefix}-{name}.npz", lambda file: np.savez_compressed(file, rows=rows, findings=text))


def scan(
    dataset: Any,
    name: str,
    *,
    cache: Path | None = None,
    workers: int = 0,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Scan:
    """Look at every sample of a split.

    Args:
        dataset: with `open` and `spec`.
        name: of the split.
        cache: a folder for what was read before; None reads all.
        workers: processes that read; 0 reads here.
        limit: only so many samples.
        progress: is told how far it is.

    Raises:
        SegexpError: the split can't be opened. A sample that can't be read is a finding.
    """
    split = dataset.open(name)
    number = len(split) if limit is None else min(limit, len(split))
    kept = Cache(cache, dataset)
    rows, found = np.zeros(number, kept.type), {}
    stamps = Stamps(dataset, split, name)
    marks = np.fromiter((stamps(i) for i in range(number)), np.uint64, number)
    todo = _recall(kept, marks, rows, found)
    done, file = rows["stamp"] > 0, name if limit is None else f"{name}-{limit}"
    try:
        saved = time.monotonic()
        for count, (index, (facts, findings)) in enumerate(_read(Examiner(split, dataset.spec), todo, workers), 1):
            rows[index], done[index] = facts, True
            rows[index]["stamp"] = marks[index]
            if findings:
                found[index] = findings
            if progress:
                progress(name, count, len(todo))
            if time.monotonic() - saved > SAVE:
                _keep(kept, file, rows[done], found, marks)
                saved = time.monotonic()
    finally:  # what has been read needn't be read again
        if len(todo):
            _keep(kept, file, rows[done], found, marks)
    findings = [replace(f, id=split.id(index)) for index in sorted(found) for f in found[index]]
    return Scan(name, split, rows, findings, len(todo))


def _recall(kept: Cache, marks: np.ndarray, rows: np.ndarray, found: dict[int, list[Finding]]) -> np.ndarray:
    """Fill in the samples that are known; returns the indices of the others."""
    known, findings = kept.load()
    if not len(known):
        return np.arange(len(marks))
    at = np.searchsorted(known["stamp"], marks).clip(max=len(known) - 1)
    hit = (known["stamp"][at] == marks) & (marks > 0)
    rows[hit] = known[at[hit]]
    for index in np.nonzero(hit)[0].tolist() if findings else []:
        if group := findings.get(int(marks[index])):
            found[index] = group
    return np.nonzero(~hit)[0]


def _keep(kept: Cache, name: str, rows: np.ndarray, found: dict[int, list[Finding]], marks: np.ndarray) -> None:
    kept.save(name, rows, {int(marks[index]): group for index, group in found.items()})


def _read(examiner: Examiner, todo: np.ndarray, workers: int) -> Iterator[tuple[int, Examined]]:
    """(Index, what was found) in order, read by `workers` processes."""
    chunks = _Chunks(examiner, todo)
    number = min(workers, len(chunks))
    loader = DataLoader(chunks, batch_size=None, num_workers=number, collate_fn=_same, worker_init_fn=calm)
    yield from zip(todo.tolist(), chain.from_iterable(loader), strict=True)


class _Chunks(Dataset):
    """Reads several samples at a time: sending each alone costs more than a small one takes to read."""

    def __init__(self, examiner: Examiner, todo: np.ndarray) -> None:
        self.examiner, self.todo = examiner, todo

    def __len__(self) -> int:
        return -(-len(self.todo) // CHUNK)

    def __getitem__(self, number: int) -> list[Examined]:
        return [self.examiner[index] for index in self.todo[number * CHUNK : (number + 1) * CHUNK].tolist()]


def _same(results: list[Examined]) -> list[Examined]:
    return results
