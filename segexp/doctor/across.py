"""What no single sample shows: copies, leakage between splits, classes that are missing, pictures of another kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from math import comb

import numpy as np

from segexp.doctor.findings import Finding
from segexp.doctor.hashes import similar
from segexp.doctor.scan import Scan
from segexp.types import DataSpec

SHOWN = 8  # paths of one finding
ENOUGH = 100  # labelled samples of train; in fewer, a rare class may be missing by chance
CHANCE = 0.01  # ... as it may be in any number, if a split at random would miss it more often than this
FEW_CLASSES = 20  # of more, some are rarer, and one of them is missing by chance more often: both limits grow alike
PARTS = ("train", "val", "test")


def copies(scan: Scan) -> Iterator[Finding]:
    """Samples that are listed twice, and pictures that occur more than once in a split."""
    ids = np.fromiter((hash(scan.split.id(i)) for i in range(len(scan.rows))), np.int64, len(scan.rows))
    twice = set()
    for group in _groups(ids):
        twice.update(group[1:].tolist())
        yield Finding("duplicate-id", f"{len(group)} samples have this id", scan.paths(group[0]), id=scan.split.id(group[0]))
    rows = np.array([i for i in _comparable(scan) if i not in twice], np.int64)
    for places in _groups(scan.rows["picture"][rows]):
        group = rows[places]
        differ = len(np.unique(scan.rows["labels"][group])) > 1
        what = f"{len(group)} samples show the same picture" + (", with different labels" if differ else "")
        names = tuple(scan.picture(i) for i in group[:SHOWN].tolist())
        yield Finding("conflicting-labels" if differ else "duplicate-image", what, names, id=scan.split.id(group[0]))


def shared(scans: Sequence[Scan]) -> Iterator[Finding]:
    """Pictures in two splits, exactly or nearly; splits that are meant to overlap (`trainval`) aren't compared."""
    for first, second in combinations(scans, 2):
        if not apart(first.name, second.name):
            continue
        a, b = _comparable(first), _comparable(second)
        equal, in_a, in_b = np.intersect1d(first.rows["picture"][a], second.rows["picture"][b], return_indices=True)
        for i, j in sorted(zip(a[in_a].tolist(), b[in_b].tolist(), strict=True), key=lambda pair: pair[1]):
            yield _pair("leakage", f"the same picture is in {first.name} and {second.name}", first, second, i, j)
        b = b[~np.isin(second.rows["picture"][b], equal)]
        for i, j, bits in similar(first.rows["looks"][a], second.rows["looks"][b]):
            what = f"nearly the same picture is in {first.name} and {second.name} ({bits} of 256 bits of its looks differ)"
            yield _pair("near-duplicate", what, first, second, int(a[i]), int(b[j]))


def apart(first: str, second: str) -> bool:
    """Whether two splits should have no picture in common, by their names: `train_aug` and `val`, but not `trainval` and `val`."""
    return not _parts(first) & _parts(second)


def classes(scans: Sequence[Scan], data: DataSpec) -> Iterator[Finding]:
    """Classes that training never sees, unless so few samples say nothing about it."""
    train = next((scan for scan in scans if scan.name == "train"), None)
    if train is None or not train.rows["labelled"].any():
        return
    many = max(1.0, data.num_classes / FEW_CLASSES)
    enough, chance = ENOUGH * many, CHANCE / many
    number, others = int(train.rows["labelled"].sum()), [scan for scan in scans if apart("train", scan.name)]
    seen = (train.rows["pixels"] > 0).sum(0)
    elsewhere = np.array([(scan.rows["pixels"] > 0).sum(0) for scan in others]).reshape(len(others), data.num_classes)
    for i in np.nonzero(seen == 0)[0].tolist():
        where = [(scan.name, int(n)) for scan, n in zip(others, elsewhere[:, i], strict=True) if n]
        if where:
            total = sum(int(scan.rows["labelled"].sum()) for scan in others)
            if number >= enough or _by_chance(sum(n for _, n in where), total, number) < chance:
                text = ", ".join(f"in {n} samples of {name}" for name, n in where)
                yield Finding("untrained-class", f"class {i} ({data.names[i]}) is {text}, and in none of train's {number}")
        elif number >= enough:
            yield Finding("unseen-class", f"class {i} ({data.names[i]}) has no pixel in any of train's {number} samples")


def depths(scans: Sequence[Scan]) -> Iterator[Finding]:
    """Pictures whose channels have other bits than most."""
    if not scans:  # none of the splits could be opened
        return
    bits = np.concatenate([scan.rows["bits"][scan.rows["read"]] for scan in scans])
    values, counts = np.unique(bits, return_counts=True)
    usual = values[counts.argmax()] if len(values) else 8
    for scan in scans:
        for value in values[values != usual].tolist():
            odd = np.nonzero(scan.rows["read"] & (scan.rows["bits"] == value))[0].tolist()
            if odd:
                what = f"{len(odd)} pictures of {scan.name} have {value} bits per channel, {counts.max()} of the set have {usual}"
                yield Finding("mixed-depth", what, tuple(scan.picture(i) for i in odd[:SHOWN]))


def small(scan: Scan, crop: tuple[int, int]) -> Iterator[Finding]:
    """Pictures that don't fill a training crop.

    Args:
        scan: of a split that is trained on.
        crop: (height, width), at the pictures' own scale.
    """
    rows = scan.rows
    odd = np.nonzero(rows["read"] & (rows["size"] < np.array(crop)).any(1))[0].tolist()
    for i in odd:
        height, width = rows["size"][i].tolist()
        what = f"the picture is {width}x{height}, a training crop covers {crop[1]}x{crop[0]} of it (width x height)"
        yield Finding("too-small", what, scan.paths(i)[:1], id=scan.split.id(i))


def _comparable(scan: Scan) -> np.ndarray:
    """Samples whose picture can be compared: read, and not of one colour throughout."""
    return np.nonzero((scan.rows["picture"] > 0) & ~scan.rows["constant"])[0]


def _groups(values: np.ndarray) -> list[np.ndarray]:
    """Places of equal values, where there are several, in the order of their first place."""
    order = np.argsort(values, kind="stable")
    edges = np.concatenate([[0], np.nonzero(np.diff(values[order]))[0] + 1, [len(order)]])
    starts = np.nonzero(np.diff(edges) > 1)[0]
    return sorted((order[edges[i] : edges[i + 1]] for i in starts.tolist()), key=lambda group: group[0])


def _pair(kind: str, what: str, first: Scan, second: Scan, i: int, j: int) -> Finding:
    return Finding(kind, what, (first.picture(i), second.picture(j)), id=second.split.id(j))


def _parts(name: str) -> set[str]:
    found = {part for part in PARTS if part in name}
    return found or {re.sub(r"\W", "", name)}


def _by_chance(holders: int, others: int, train: int) -> float:
    """How likely a random split would put all samples that hold a class outside train."""
    return comb(others, holders) / comb(others + train, holders)
