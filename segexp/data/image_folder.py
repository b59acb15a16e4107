"""Pictures in a folder for each class: `<root>/<split>/<class>/*.jpg`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from segexp.data.class_names import given_classes
from segexp.data.folder_files import SPLITS
from segexp.data.label_files import LabelFiles, Listed, check_keys, divided, label_spec, labels_fingerprint, pictures, some
from segexp.errors import ConfigError, DataError
from segexp.types import DataSpec

LAYOUT = "<root>/train/<class>/*.jpg, and val and test like it; without them <root>/<class>/*.jpg"


class _Found:
    """What was found, apart from the keys by which a cache tells one data set from another."""

    __slots__ = ("names", "splits", "train")

    def __init__(self) -> None:
        self.names: tuple[str, ...] | None = None
        self.splits: dict[str, Listed] | None = None
        self.train: Listed | None = None  # before chance took `val` from it


class ImageFolder:
    """One class for a picture, by the folder that it is in; pictures may lie deeper within it.

    The classes are the folders of `train` in the order of their names (as text: 10 before 2), unless listed. A class without a picture
    in `train` is refused, and so is a folder in another split that is no class; there a class may be missing. Where there is no
    `train`, the classes' folders lie in `root`, and chance takes `val` from them, as it does where there is no `val`. A `test`
    without folders of classes has no labels, and serves `segexp predict`.

    Args:
        root: the folder.
        classes: the names of the folders in the order of the class ids; null = found.
        channels: of a picture.
        val_fraction: share of `val` where there is no such folder.
        seed: of this division.

    Raises:
        ConfigError: a key is of a wrong kind or out of its range.
    """

    def __init__(
        self, *, root: str, classes: Sequence[str] | None = None, channels: int = 3, val_fraction: float = 0.2, seed: int = 0
    ) -> None:
        check_keys(channels, val_fraction)
        self.root, self.given, self.channels = Path(root), given_classes(classes), channels
        self.val_fraction, self.seed = val_fraction, seed
        self._found = _Found()

    @cached_property
    def spec(self) -> DataSpec:
        """The classes; looks at the names of folders where they aren't listed."""
        return label_spec(self._names(), several=False, channels=self.channels)

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have labels."""
        return tuple(split for split, listed in self._splits().items() if listed.labels is not None)

    def open(self, split: str) -> LabelFiles:
        """The pictures of a split in the order of their names, one of each class, then the second of each, and so on.

        Raises:
            ConfigError: the folder or the split isn't there, or its folders aren't the classes.
            DataError: a class has no picture, or two have one name.
        """
        if split not in self._splits():
            raise ConfigError(f"the folder has no split {split!r}", where=str(self.root), fix=f"data.split={'|'.join(self._splits())}")
        return LabelFiles(split, self._splits()[split], self.channels)

    def undivided(self) -> LabelFiles:
        """`train` and what chance took from it for `val`, for those who divide it themselves; raises what `open` raises."""
        splits = self._splits()
        return LabelFiles("train", self._found.train or splits["train"], self.channels)

    def fingerprint(self) -> str:
        """sha256 of the names and sizes of the pictures, and of the class of each."""
        return labels_fingerprint(self, self._names(), self._splits())

    def _names(self) -> tuple[str, ...]:
        if self._found.names is None:
            self._found.names = self.given or tuple(_folders(self._train()))
            if not self._found.names:
                raise ConfigError("there is no folder of a class", where=str(self._train()), fix=f"the layout is {LAYOUT}")
        return self._found.names

    def _train(self) -> Path:
        """The folder whose folders are the classes.

        Raises:
            ConfigError: it isn't there.
        """
        if not self.root.is_dir():
            raise ConfigError("there is no such folder", where=f"data.root={self.root}", fix=f"data.root=<folder>; the layout is {LAYOUT}")
        return _split_folder(self.root, "train") or self.root

    def _splits(self) -> Mapping[str, Listed]:
        if self._found.splits is None:
            names, train = self._names(), self._train()
            found = {"train": _by_class(train, names, complete=True)}
            others = ("val", "test") if train != self.root else ()
            for split in others:
                if (folder := _split_folder(self.root, split)) is not None:
                    found[split] = _by_class(folder, names)
            self._found.train = found["train"]
            if "val" not in found:
                found |= divided(found["train"], self.val_fraction, self.seed)
            self._found.splits = {split: found[split] for split in SPLITS if split in found}
        return self._found.splits


def _split_folder(root: Path, split: str) -> Path | None:
    return next((folder for name in SPLITS[split] if (folder := root / name).is_dir()), None)


def _folders(place: Path) -> list[str]:
    return sorted(entry.name for entry in place.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _by_class(place: Path, names: Sequence[str], *, complete: bool = False) -> Listed:
    """The pictures of a split.

    Args:
        place: its folder.
        names: of the classes.
        complete: every class must have a picture.

    Raises:
        ConfigError: its folders aren't classes, or lack.
        DataError: there is no picture, or none of a class.
    """
    there = _folders(place)
    if not there and not complete and (files := pictures(place)):
        return Listed.of(place, files, None)
    known = set(names)
    if strange := [name for name in there if name not in known]:
        what = f"{len(strange)} folders that are no class: {some(strange)}; the classes are {some(names)}"
        raise ConfigError(what, where=str(place), fix="rename or remove them, or list all classes: data.classes=[...]")
    if complete and (missing := sorted(known.difference(there))):
        raise ConfigError(f"no folder of the classes {some(missing)}", where=str(place), fix="data.classes lists the folders of train")
    groups = [[f"{name}/{file}" for file in pictures(place / name)] for name in names]
    if complete and (empty := [name for name, group in zip(names, groups, strict=True) if not group]):
        raise DataError(f"no picture of the classes {some(empty)}", where=str(place), fix="add some, or remove the folders")
    turns = sorted((number, label) for label, group in enumerate(groups) for number in range(len(group)))  # data.limit sees all classes
    if not turns:
        raise DataError("there is no picture", where=str(place), fix=f"the layout is {LAYOUT}")
    return Listed.of(place, [groups[label][number] for number, label in turns], np.array([label for _, label in turns]))
