"""A user's own pictures and masks, without a line of Python: layout, splits and classes are found or named by keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from segexp.data.folder_classes import Coding, file_coding, found_coding, given_coding
from segexp.data.folder_files import SUFFIXES, Pairs, find_layout, find_splits, name_of
from segexp.data.labelled import ColorTable, LabelledFiles, ValueTable, fingerprint
from segexp.errors import ConfigError
from segexp.types import DataSpec


class _Found:
    """The files, once they were looked for; apart from the keys by which a cache tells one data set from another."""

    __slots__ = ("pairs",)

    def __init__(self) -> None:
        self.pairs: dict[str, Pairs] | None = None


class Folder:
    """Pictures and masks of the same names, in `images/` and `masks/` or folders of other names.

    Splits are the folders `train val test` within these or above them, else the lists `train.txt` and so on, else `val` is
    drawn from all by chance; `test` may lack masks.

    Args:
        root: the folder.
        images: where the pictures are, relative to `root`, e.g. `images` or `{split}/jpg`; null = found.
        masks: where the masks are.
        classes: name -> value in the masks, colour [R,G,B], or a list of either; null = `classes.json` or `classes.txt` in
            `root`, else every value or colour that occurs is a class.
        ignore: values or colours without a label; null = 255 where it isn't a class.
        channels: of a picture.
        suffixes: of the pictures; null = the usual ones.
        val_fraction: share of `val` where the pictures aren't divided.
        seed: of this division.

    Raises:
        ConfigError: a key is out of its range.
    """

    def __init__(
        self,
        *,
        root: str,
        images: str | None = None,
        masks: str | None = None,
        classes: Mapping[str, Any] | None = None,
        ignore: Sequence[Any] | None = None,
        channels: int = 3,
        suffixes: Sequence[str] | None = None,
        val_fraction: float = 0.2,
        seed: int = 0,
    ) -> None:
        if not 0 < val_fraction < 1:
            raise ConfigError("a share lies between 0 and 1", where=f"data.val_fraction={val_fraction}", fix="data.val_fraction=0.2")
        if channels < 1:
            raise ConfigError("pictures have at least one channel", where=f"data.channels={channels}", fix="data.channels=3")
        self.root, self.images, self.masks, self.channels = Path(root), images, masks, channels
        self.suffixes = tuple(s if s.startswith(".") else f".{s}" for s in suffixes) if suffixes else SUFFIXES
        self.val_fraction, self.seed, self.ignore = val_fraction, seed, ignore
        self._found = _Found()
        self.given = given_coding(classes, ignore, "data.classes") if classes is not None else None

    @cached_property
    def coding(self) -> Coding:
        """How classes are written in the masks; reads all of them where nobody says so."""
        found = self.given or file_coding(self.root, self.ignore)
        if found is None:
            labels = [mask for pairs in self._pairs().values() for pair in pairs.keys if (mask := pairs.place()(pair)[1])]
            print(f"data: reading {len(labels)} masks to find their classes; data.classes or a classes.txt saves this", flush=True)
            found = found_coding(labels, self.ignore)
            written = ", ".join(f"{name}: {found.shown(value[0])}" for name, value in zip(found.names, found.values, strict=True))
            print(f"data: found 'data.classes={{{written}}}' 'data.ignore=[{','.join(map(found.shown, found.void))}]'", flush=True)
        return found

    @cached_property
    def spec(self) -> DataSpec:
        """Classes and channels; `values` where masks have other values than class ids."""
        coding = self.coding
        first = tuple(value[0] for value in coding.values)
        values = None if coding.colors or first == tuple(range(len(first))) else first
        return DataSpec(coding.infos(), frozenset({"semantic"}), in_channels=self.channels, values=values)

    def _pairs(self) -> dict[str, Pairs]:
        if self._found.pairs is None:
            layout = find_layout(self.root, self.images, self.masks)
            found = find_splits(self.root, layout, suffixes=self.suffixes, fraction=self.val_fraction, seed=self.seed)
            told = ", ".join(f"{len(pairs.keys)} {split}{'' if pairs.masks else ' (no masks)'}" for split, pairs in found.items())
            print(f"data: {self.root}: {told} in {layout.images} and {layout.masks}", flush=True)
            self._found.pairs = found
        return self._found.pairs

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have masks."""
        return tuple(split for split, pairs in self._pairs().items() if pairs.masks)

    def open(self, split: str) -> LabelledFiles:
        """The samples of a split, in the order of their names.

        Raises:
            ConfigError: nothing is recognised in the folder, or it has no such split.
            DataError: masks are missing, or can't be read while classes are sought.
        """
        if split not in self._pairs():
            raise ConfigError(f"the folder has no split {split!r}", where=str(self.root), fix=f"data.split={'|'.join(self._pairs())}")
        pairs, coding = self._pairs()[split], self.coding
        table = (ColorTable if coding.colors else ValueTable)(coding.values, coding.void, self.spec)
        return LabelledFiles(split, pairs.keys, pairs.place(), table, channels=self.channels, id=name_of)

    def fingerprint(self) -> str:
        """sha256 of the names and sizes of the files."""
        return fingerprint(self)
