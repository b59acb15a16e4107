"""A user's own pictures and masks, without a line of Python: layout, splits and classes are found or named by keys."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from segexp.data.folder_classes import FOUND, Coding, file_coding, given_coding
from segexp.data.folder_files import SPLITS, Pairs, divided, find_layout, find_splits, name_of
from segexp.data.folder_masks import check_coding, found_coding
from segexp.data.labelled import ColorTable, LabelledFiles, ValueTable, fingerprint
from segexp.errors import ConfigError
from segexp.functional.names import PICTURES
from segexp.types import DataSpec


class _Found:
    """The files, once they were looked for; apart from the keys by which a cache tells one data set from another."""

    __slots__ = ("checked", "pairs", "train")

    def __init__(self) -> None:
        self.pairs: dict[str, Pairs] | None = None
        self.train: Pairs | None = None  # before chance took `val` from it
        self.checked = False  # were given classes held against the masks?


class Folder:
    """Pictures and masks of the same names, in `images/` and `masks/` or folders of other names.

    Splits are the folders `train val test` within these or above them, else the lists `train.txt` and so on, else `val` is
    drawn from all by chance; `test` may lack masks, of folders as of lists.

    Args:
        root: the folder.
        images: where the pictures are, relative to `root`, e.g. `images` or `{split}/jpg`; null = found.
        masks: where the masks are.
        classes: name -> value in the masks, colour [R,G,B], or a list of either; or names, whose values are 0, 1, ...; null =
            `classes.json` or `classes.txt` in `root`, else every value or colour that occurs is a class.
        ignore: values or colours without a label, one or several; null = 255 where it isn't a class.
        channels: of a picture.
        suffixes: of the pictures, one or several; null = the usual ones.
        val_fraction: share of `val` where the pictures aren't divided.
        seed: of this division.

    Raises:
        ConfigError: a key is of a wrong kind or out of its range.
    """

    def __init__(
        self,
        *,
        root: str,
        images: str | None = None,
        masks: str | None = None,
        classes: Mapping[str, Any] | Sequence[str] | None = None,
        ignore: Sequence[Any] | int | None = None,
        channels: int = 3,
        suffixes: Sequence[str] | str | None = None,
        val_fraction: float = 0.2,
        seed: int = 0,
    ) -> None:
        if type(val_fraction) not in (int, float) or not 0 < val_fraction < 1:
            raise ConfigError("a share lies between 0 and 1", where=f"data.val_fraction={val_fraction}", fix="data.val_fraction=0.2")
        if type(channels) is not int or channels < 1:
            raise ConfigError(
                "pictures have a whole number of channels, at least one", where=f"data.channels={channels}", fix="data.channels=3"
            )
        self.root, self.images, self.masks, self.channels = Path(root), images, masks, channels
        self.suffixes = _endings(suffixes)
        self.val_fraction, self.seed, self.ignore = val_fraction, seed, ignore
        self._found = _Found()
        self.given = given_coding(classes, ignore, "data.classes") if classes is not None else None

    @cached_property
    def coding(self) -> Coding:
        """How classes are written in the masks; reads all of them where nobody says so."""
        found = self.given or file_coding(self.root, self.ignore)
        if found is None:
            labels = self._masks()
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
            found = find_splits(self.root, layout, suffixes=self.suffixes)
            self._found.train = found["train"]
            if "val" not in found:
                found |= divided(found["train"], self.val_fraction, self.seed)
                found = {split: found[split] for split in SPLITS if split in found}
            told = ", ".join(f"{len(pairs.keys)} {split}{'' if pairs.masks else ' (no masks)'}" for split, pairs in found.items())
            print(f"data: {self.root}: {told} in {layout.images} and {layout.masks}", flush=True)
            self._found.pairs = found
        return self._found.pairs

    def _masks(self) -> list[Path]:
        return [mask for pairs in self._pairs().values() for pair in pairs.keys if (mask := pairs.place()(pair)[1])]

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have masks."""
        return tuple(split for split, pairs in self._pairs().items() if pairs.masks)

    def open(self, split: str) -> LabelledFiles:
        """The samples of a split, in the order of their names.

        Raises:
            ConfigError: nothing is recognised in the folder, it has no such split, or the masks contradict the classes.
            DataError: masks are missing or contradict each other, or can't be read while classes are sought.
        """
        if split not in self._pairs():
            raise ConfigError(f"the folder has no split {split!r}", where=str(self.root), fix=f"data.split={'|'.join(self._pairs())}")
        return self._opened(split, self._pairs()[split])

    def undivided(self) -> LabelledFiles:
        """`train` and what chance took from it for `val`, for those who divide it themselves; raises what `open` raises."""
        self._pairs()
        return self._opened("train", self._found.train or self._pairs()["train"])

    def _opened(self, split: str, pairs: Pairs) -> LabelledFiles:
        coding = self.coding
        if not self._found.checked and coding.source != FOUND:
            check_coding(coding, self._masks(), self.ignore)
        self._found.checked = True
        table = (ColorTable if coding.colors else ValueTable)(coding.values, coding.void, self.spec)
        return LabelledFiles(split, pairs.keys, pairs.place(), table, channels=self.channels, id=name_of)

    def fingerprint(self) -> str:
        """sha256 of the names and sizes of the files, and of how classes are written in them."""
        coding = self.coding
        told = f"{fingerprint(self)} {coding.names} {coding.values} {coding.void} {coding.colors}"
        return hashlib.sha256(told.encode()).hexdigest()


def _endings(suffixes: Any) -> tuple[str, ...]:
    """Endings with their dots."""
    given = [suffixes] if isinstance(suffixes, str) else PICTURES if suffixes is None else suffixes
    if not isinstance(given, (list, tuple)) or not given or not all(isinstance(s, str) and s.strip(".") for s in given):
        raise ConfigError("these are no endings of files", where=f"data.suffixes={suffixes}", fix="data.suffixes=[.png,.jpg], or null")
    return tuple(s if s.startswith(".") else f".{s}" for s in given)
