"""A table of the files that a run was trained on, `data.json`: the digest of each, so that a changed one can be named.

The fingerprint of the manifest takes names and sizes alone, and says of a changed image neither which nor, where its size is
the same, that. Here the contents count. Digests are kept beside the runs by path, size and time of change, so that the next run on
the same files reads none of them again; `segexp reproduce` reads all of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segexp.errors import SegexpError
from segexp.functional.files import read_json, write_json

NAME = "data.json"
WHOLE = 32 * 2**30  # bytes of a data set up to which files are read whole; of larger ones both ends of each, and the size
_END = 64 * 2**10
_TELL = 2 * 2**30  # bytes that take long enough to be told of
_DIGEST_BYTES = 16

Known = dict[str, list[Any]]  # path -> [size, mtime_ns, how, digest]


@dataclass(frozen=True)
class Differences:
    """What isn't as it was of a data set's files, by name."""

    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    new: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone or self.new)

    def told(self) -> list[str]:
        """In words, a file each."""
        words = (("has changed", self.changed), ("is gone", self.gone), ("is new", self.new))
        return [f"{name} {word}" for word, names in words for name in names]


def write_table(run: Path, dataset: Any, root: str | None, outputs: Path | None = None) -> None:
    """Write a run's `data.json`; nothing where the data set has no files, such as a synthetic one.

    Args:
        run: the run's folder.
        dataset: with `splits` and `open`.
        root: the folder of its files; names are relative to it.
        outputs: the folder of runs, in whose `.cache` digests are kept for the next one.
    """
    if found := table(dataset, root, _cache(root, outputs) if outputs else None):
        write_json(run / NAME, found)


def read_table(run: Path) -> dict[str, Any] | None:
    """A run's `data.json`; None where it has none."""
    path = run / NAME
    return read_json(path) if path.is_file() else None


def changes_since(run: Path, dataset: Any, root: str | None, outputs: Path) -> Differences:
    """How the files of a data set differ from a run's `data.json`; not at all where it has none. Arguments as of `write_table`."""
    before = read_table(run)
    if before is None:
        return Differences()
    return differences(before, table(dataset, root, _cache(root, outputs), before["how"]) or {"files": {}})


def table(dataset: Any, root: str | None, cache: Path | None = None, how: str | None = None) -> dict[str, Any] | None:
    """The digest of each file of a data set: `{"how": "whole" | "ends", "files": {name: digest}}`; None if it has none.

    Args:
        dataset, root: as in `write_table`.
        cache: a file that keeps digests.
        how: as in another table that it is to be compared with; chosen by the size unless given.
    """
    paths = list(dict.fromkeys(files(dataset)))
    if not paths:
        return None
    sizes = {path: path.stat().st_size if path.exists() else None for path in paths}
    total = sum(size or 0 for size in sizes.values())
    how = how or ("whole" if total <= WHOLE else "ends")
    known = _known(cache)
    fresh = sum(size or 0 for path, size in sizes.items() if _stamp(path, how) != known.get(str(path), [])[:3])
    if fresh > _TELL:
        print(f"reading {fresh / 2**30:.0f} GiB of data once, to know later whether a file has changed", flush=True)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # hashing and reading leave the interpreter alone
        digests = list(pool.map(lambda path: _digest(path, how, known), paths))
    if cache and fresh:
        _keep(cache, how, paths, digests, known)
    return {"how": how, "files": {_name(path, root): found for path, found in zip(paths, digests, strict=True)}}


def files(dataset: Any) -> Iterator[Path]:
    """The files that the splits of a data set are made of, in order; some more than once."""
    for split in dataset.splits:
        opened = dataset.open(split)
        if not hasattr(opened, "paths"):
            continue
        for index in range(len(opened)):
            also = opened.related(index) if hasattr(opened, "related") else ()
            yield from (path for path in (*opened.paths(index), *also) if path is not None)


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Differences:
    """Between two tables of the same way of reading."""
    before, after = then["files"], now["files"]
    changed = tuple(sorted(name for name in before.keys() & after.keys() if before[name] != after[name]))
    return Differences(changed, tuple(sorted(before.keys() - after.keys())), tuple(sorted(after.keys() - before.keys())))


def _cache(root: str | None, outputs: Path) -> Path:
    """The file that keeps the digests of a data set."""
    return outputs / ".cache" / f"digests-{hashlib.blake2b(str(root).encode(), digest_size=8).hexdigest()}.json"


def _name(path: Path, root: str | None) -> str:
    """Within the data set's folder where it lies there, so that a folder that has moved holds the same files."""
    try:
        return path.absolute().relative_to(Path(root).absolute()).as_posix() if root else str(path.absolute())
    except ValueError:  # elsewhere
        return str(path.absolute())


def _stamp(path: Path, how: str) -> list[Any]:
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns, how]


def _digest(path: Path, how: str, known: Known) -> str | None:
    """Of a file's content; None where it can't be read."""
    entry = known.get(str(path), [])
    if entry and entry[:3] == _stamp(path, how):
        return entry[3]
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if how == "whole" or size <= 2 * _END:
                while block := file.read(2**20):
                    digest.update(block)
            else:
                digest.update(f"{size} ".encode() + file.read(_END))
                file.seek(-_END, os.SEEK_END)
                digest.update(file.read())
    except OSError:
        return None
    return digest.hexdigest()


def _known(cache: Path | None) -> Known:
    if cache:
        with suppress(OSError, SegexpError):  # gone, or broken: it is only a cache
            found = read_json(cache)
            entries = found.items() if isinstance(found, dict) else ()
            return {path: entry for path, entry in entries if isinstance(entry, list) and len(entry) == 4}
    return {}


def _keep(cache: Path, how: str, paths: list[Path], digests: list[str | None], known: Known) -> None:
    entries = {str(path): [*_stamp(path, how), found] for path, found in zip(paths, digests, strict=True) if found}
    with suppress(OSError):  # nowhere to write: the next run reads again
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_json(cache, known | {path: entry for path, entry in entries.items() if len(entry) == 4})
