"""What is wrong around the samples: in their lists, and with files that no list names."""

from __future__ import annotations

import codecs
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segexp.doctor.findings import Finding
from segexp.doctor.hashes import digest

LISTS = ("{}.txt", "*/{}.txt", "ImageSets/*/{}.txt", "*/ImageSets/*/{}.txt")
DEDICATED = 0.9  # share of a folder's pictures that are listed, from which on the others look forgotten
SHOWN = 5


def lists(root: Path, split: str) -> Iterator[Finding]:
    """Lists of a split's samples that aren't clean text."""
    for path in sorted({found for pattern in LISTS for found in root.glob(pattern.format(split))}):
        if path.is_file():
            yield from _list(path)


def _list(path: Path) -> Iterator[Finding]:
    content = path.read_bytes()
    about = (str(path),)
    if content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield Finding("list-encoding", "the list begins with a byte order mark", about)
        return
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        yield Finding("list-encoding", f"line {line} isn't UTF-8: it has the byte {content[error.start]:#x}", about)
        return
    while lines and not lines[-1].strip():  # blank lines at the end are usual
        lines.pop()
    blank = [number for number, line in enumerate(lines, 1) if not line.strip()]
    padded = [number for number, line in enumerate(lines, 1) if line.strip() and line != line.strip()]
    for numbers, what in ((blank, "blank"), (padded, "with spaces before or after")):
        if numbers:
            shown = ", ".join(map(str, numbers[:SHOWN])) + (" ..." if len(numbers) > SHOWN else "")
            yield Finding("list-lines", f"{len(numbers)} lines are {what}: {shown}", about)


def outside(split: Any, root: Path) -> Iterator[Finding]:
    """Samples whose files don't lie below the data set's root, as the paths are written."""
    above = os.path.normpath(Path.cwd() / root) + os.sep
    for index in range(len(split)):
        away = [path for path in split.paths(index) if path is not None and not os.path.normpath(Path.cwd() / path).startswith(above)]
        if away:
            yield Finding("outside-root", f"it isn't below {root}", tuple(map(str, away)), id=split.id(index))


@dataclass
class _Pair:
    """A folder of pictures with its folder of labels, and how the names of the two differ."""

    known: set[int] = field(default_factory=set)  # hashes of what pictures and labels have in common, of listed samples
    endings: set[tuple[str, str]] = field(default_factory=set)


def unlisted(splits: Mapping[str, Any]) -> Iterator[Finding]:
    """Labels and pictures beside the listed ones that no list names.

    Only where a picture and its labels begin alike (`a.jpg` and `a.png`, `a_leftImg8bit.png` and `a_gtFine_labelIds.png`), and in
    the same way throughout a folder. Pictures without labels are told only where nearly all others of the folder are listed:
    many sets keep a pool of pictures of which few have labels.

    Args:
        splits: all of a data set, by name.
    """
    pairs: dict[tuple[Path, Path], _Pair] = defaultdict(_Pair)
    for split in splits.values():
        for index in range(len(split)):
            picture, labels = split.paths(index)
            if labels is not None:
                stem = _common(picture.stem, labels.stem)
                pair = pairs[picture.parent, labels.parent]
                pair.known.add(digest(stem.encode()))
                if len(pair.endings) < 2:  # more than one says enough: there is no rule
                    pair.endings.add((picture.name[len(stem) :], labels.name[len(stem) :]))
    for (pictures, labels), pair in sorted(pairs.items()):
        if len(pair.endings) == 1 and pictures.is_dir() and labels.is_dir():
            yield from _strays(pictures, labels, pair.known, next(iter(pair.endings)))


def _common(first: str, second: str) -> str:
    """What two names begin with."""
    unequal = (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    return first[: next(unequal, min(len(first), len(second)))]


def _strays(pictures: Path, labels: Path, known: set[int], endings: tuple[str, str]) -> Iterator[Finding]:
    extra = [_extra(folder, ending, known) for folder, ending in ((pictures, endings[0]), (labels, endings[1]))]
    for stem in sorted(extra[0] & extra[1]):
        names = (str(pictures / f"{stem}{endings[0]}"), str(labels / f"{stem}{endings[1]}"))
        yield Finding("unlisted-sample", "a picture with labels that no list names", names)
    for stem in sorted(extra[1] - extra[0]):
        yield Finding("orphan-labels", "labels without a picture", (str(labels / f"{stem}{endings[1]}"),))
    alone = extra[0] - extra[1]
    if len(known) >= DEDICATED * (len(known) + len(alone)):
        for stem in sorted(alone):
            yield Finding("orphan-image", "a picture without labels", (str(pictures / f"{stem}{endings[0]}"),))


def _extra(folder: Path, ending: str, known: set[int]) -> set[str]:
    """Beginnings of the files in a folder with an ending that aren't known."""
    with os.scandir(folder) as entries:
        stems = (entry.name.removesuffix(ending) for entry in entries if entry.name.endswith(ending))
        return {stem for stem in stems if stem and not stem.startswith(".") and digest(stem.encode()) not in known}
