"""Splits whose samples are pictures with a class, or with several."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segexp.data.labelled import Files, fingerprint
from segexp.data.palette import voc_color
from segexp.errors import ConfigError, DataError
from segexp.functional.keys import key
from segexp.functional.names import PICTURES
from segexp.types import ClassInfo, DataSpec

IGNORE = 255  # of a picture without a class; of more classes than this, their number


@dataclass(frozen=True)
class Listed:
    """The pictures of a split, relative to a folder, and what each shows.

    Args:
        folder: that the pictures are in.
        keys: their paths within it as bytes, one array.
        labels: int64 [N] class ids, bool [N,K] which classes each shows, or None of a test without labels.
    """

    folder: Path
    keys: np.ndarray
    labels: np.ndarray | None

    @classmethod
    def of(cls, folder: Path, files: Sequence[str], labels: np.ndarray | None) -> Listed:
        """The same of paths as text."""
        return cls(folder, np.array([file.encode() for file in files], dtype=np.bytes_), labels)

    def __len__(self) -> int:
        return len(self.keys)

    def names(self) -> Iterator[str]:
        """The pictures' paths without the endings of the files."""
        return (plain_name(key.decode()) for key in self.keys)

    def part(self, chosen: Sequence[int]) -> Listed:
        """Some of the pictures."""
        at = np.array(chosen, np.int64)
        return Listed(self.folder, self.keys[at], None if self.labels is None else self.labels[at])


class LabelFiles(Files):
    """A split of pictures with labels.

    Args:
        name: of the split.
        listed: its pictures.
        channels: of a picture.

    Raises:
        DataError: two pictures have one name.
    """

    def __init__(self, name: str, listed: Listed, channels: int) -> None:
        super().__init__(name, listed.keys, channels)
        self.folder, self.values = listed.folder, listed.labels
        check_names(listed)

    def id(self, index: int) -> str:
        return f"{self.name}/{plain_name(self.key(index))}"

    def paths(self, index: int) -> tuple[Path, None]:
        return self.folder / self.key(index), None

    def labels(self, index: int, path: Path | None, size: tuple[int, ...]) -> dict[str, Any]:
        if self.values is None:
            return {}
        if self.values.ndim == 2:
            return {"present": torch.from_numpy(self.values[index].astype(np.float32))}
        return {"label": torch.tensor(int(self.values[index]))}

    def content(self, index: int) -> bytes:
        """What says which classes a sample has, for a cache to notice that they have changed."""
        return b"" if self.values is None else self.values[index].tobytes()


def label_spec(names: Sequence[str], *, several: bool, channels: int) -> DataSpec:
    """Classes without places: a picture is of one, or shows any number of them."""
    classes = tuple(ClassInfo(name, False, voc_color(i + 1)) for i, name in enumerate(names))
    kinds = frozenset({"present" if several else "label"})
    return DataSpec(classes, kinds, ignore_index=max(IGNORE, len(names)), in_channels=channels)


def check_keys(channels: Any, val_fraction: Any) -> None:
    """Refuse keys that both data sets have.

    Raises:
        ConfigError: names the key.
    """
    if type(channels) is not int or channels < 1:
        what = "pictures have a whole number of channels, at least one"
        raise ConfigError(what, where=f"data.channels={channels}", fix="data.channels=3")
    if type(val_fraction) not in (int, float) or not 0 < val_fraction < 1:
        raise ConfigError("a share lies between 0 and 1", where=f"data.val_fraction={val_fraction}", fix="data.val_fraction=0.2")


def pictures(folder: Path) -> list[str]:
    """The pictures below a folder, but for hidden ones, relative to it and sorted."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        within = Path(place).relative_to(folder).as_posix()
        named = [name for name in files if not name.startswith(".") and Path(name).suffix.lower() in PICTURES]
        found += named if within == "." else [f"{within}/{name}" for name in named]
    return sorted(found)


def plain_name(file: str) -> str:
    """A path without the ending of the file."""
    return file.rpartition(".")[0] or file


def check_names(listed: Listed) -> None:
    """Refuse two pictures of one name: their predictions would be one file.

    Raises:
        DataError: names both.
    """
    seen: dict[str, int] = {}
    for index, name in enumerate(listed.names()):
        if (other := seen.setdefault(name, index)) != index:
            both = " and ".join(listed.keys[i].decode() for i in (other, index))
            raise DataError(f"two pictures of one name: {both}", where=str(listed.folder), fix="rename one, or take it away")


def divided(listed: Listed, fraction: float, seed: int) -> dict[str, Listed]:
    """`train` and `val` by chance, keyed by the names: pictures that are added later move no other; neither is empty.

    Raises:
        ConfigError: there are too few.
    """
    if len(listed) < 2:
        raise ConfigError("one picture can't be divided into train and val", where=str(listed.folder), fix="add pictures")
    drawn = [key(seed, "labels", name) for name in listed.names()]
    order = sorted(range(len(drawn)), key=drawn.__getitem__)
    count = min(max(sum(number < fraction * 2**63 for number in drawn), 1), len(drawn) - 1)
    return {"train": listed.part(sorted(order[count:])), "val": listed.part(sorted(order[:count]))}


def labels_fingerprint(dataset: Any, names: Sequence[str], splits: Mapping[str, Listed]) -> str:
    """sha256 of the names and sizes of the pictures, and of the class of each."""
    digest = hashlib.sha256(f"{fingerprint(dataset)} {list(names)}".encode())
    for listed in splits.values():
        digest.update(b"" if listed.labels is None else np.ascontiguousarray(listed.labels).tobytes())
    return digest.hexdigest()


def some(names: Collection[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    shown = list(names)[:most]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
