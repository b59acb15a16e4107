"""Splits whose samples are files: a picture, and its labels unless the split is one of a test."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from segexp.errors import DataError
from segexp.functional.images import is_turned, read_colors, read_image, read_labels
from segexp.types import DataSpec

Place = Callable[[str], tuple[Path, Path | None]]
Annotate = Callable[[Path], dict[str, Tensor]]


class Files(ABC):
    """One split, read when its samples are asked for; who inherits says where a sample's files are and what its labels say.

    Args:
        name: of the split.
        keys: bytes, one per sample. They are kept as one array: a million of them take tens of megabytes, and worker
            processes share them.
        channels: of a picture.
    """

    def __init__(self, name: str, keys: np.ndarray, channels: int) -> None:
        self.name, self.keys, self.channels = name, keys, channels

    def __len__(self) -> int:
        return len(self.keys)

    def key(self, index: int) -> str:
        """The key of a sample."""
        return self.keys[index].decode()

    @abstractmethod
    def id(self, index: int) -> str:
        """`<split>/<name>`, without opening a file."""

    @abstractmethod
    def paths(self, index: int) -> tuple[Path, Path | None]:
        """The picture and the label file of a sample."""

    def labels(self, index: int, path: Path | None, size: tuple[int, ...]) -> dict[str, Any]:
        """What a sample carries beside its picture; nothing, of a test.

        Args:
            index: of the sample.
            path: of its label file.
            size: (height, width) of its picture.
        """
        return {}

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one sample.

        Returns:
            `image` uint8 or int32 [C,H,W]; what `labels` gives; `meta` {id, size, path}, the path of the label file
            where there is one.

        Raises:
            DataError: a file is missing or broken, or the sizes differ.
        """
        path, label_path = self.paths(index)
        image = read_image(path, self.channels)
        size = tuple(image.shape[-2:])
        sample = {"image": tv_tensors.Image(image), "meta": {"id": self.id(index), "size": size, "path": str(label_path or path)}}
        for kind, value in self.labels(index, label_path, size).items():
            if kind in ("semantic", "segments", "masks"):
                if tuple(value.shape[-2:]) != size:
                    raise _sizes(path, label_path, size, tuple(value.shape[-2:]))
                value = tv_tensors.Mask(value)
            sample[kind] = value
        return sample


def _sizes(path: Path, label_path: Path | None, size: tuple[int, ...], labels: tuple[int, ...]) -> DataError:
    """What is said of labels that don't fit their picture."""
    what, fix = f"the image is {size}, its labels are {labels}", "make the sizes equal"
    if labels == size[::-1] and is_turned(path):
        what += ": EXIF turns the picture, and the labels fit it unturned"
        fix = "turn the labels, too, or store the picture upright and without its EXIF orientation"
    return DataError(what, where=f"{path} and {label_path}" if label_path else str(path), fix=fix)


class LabelledFiles(Files):
    """A split whose samples each have a key that their files follow from.

    Args:
        name: of the split.
        keys: one per sample, from which `place` finds its files.
        place: key -> (picture, labels or None).
        annotate: reads a label file into what a sample carries, each map at the picture's size.
        channels: of a picture.
        id: key -> what a sample is called after `<split>/`; the key itself unless given.
    """

    def __init__(
        self,
        name: str,
        keys: Sequence[str],
        place: Place,
        annotate: Annotate,
        *,
        channels: int = 3,
        id: Callable[[str], str] = str,
    ) -> None:
        super().__init__(name, np.array([key.encode() for key in keys], dtype=np.bytes_), channels)
        self.place, self.annotate, self.naming = place, annotate, id

    def id(self, index: int) -> str:
        return f"{self.name}/{self.naming(self.key(index))}"

    def paths(self, index: int) -> tuple[Path, Path | None]:
        return self.place(self.key(index))

    def labels(self, index: int, path: Path | None, size: tuple[int, ...]) -> dict[str, Any]:
        return self.annotate(path) if path else {}


class ValueTable:
    """Values in label files to class ids, exactly: a value that isn't listed is refused.

    Args:
        values: of each class, its value or values.
        void: values of pixels without a label.
        spec: gives the value that they get.
    """

    def __init__(self, values: Sequence[int | Sequence[int]], void: Iterable[int], spec: DataSpec) -> None:
        listed = [[value] if isinstance(value, int) else list(value) for value in values]
        void = list(void)
        self.known = sorted({value for group in [*listed, void] for value in group})
        self.table = np.zeros(max(256, self.known[-1] + 1) + 1, np.uint16)  # id + 1 by value; the last is of all that are larger
        self.table[void] = spec.ignore_index + 1
        for class_id, group in enumerate(listed):
            self.table[group] = class_id + 1

    def __call__(self, path: Path) -> dict[str, Tensor]:
        """The label file as `semantic` uint8 [H,W].

        Raises:
            DataError: unreadable, or holds values that aren't listed, with how many pixels each.
        """
        raw = self.read(path).numpy()
        found = self.table[raw if raw.dtype == np.uint8 else np.minimum(raw, len(self.table) - 1)]
        if found.size and not found.min():
            strange, pixels = np.unique(raw[found == 0], return_counts=True)
            order = np.argsort(-pixels, kind="stable")[:8]
            told = ", ".join(f"{self.shown(strange[i])} in {pixels[i]} pixels" for i in order)
            more = f" and {len(strange) - len(order)} more" if len(strange) > len(order) else ""
            what = f"label {self.kind} that no class has: {told}{more}; known are {self.listed()}"
            raise DataError(what, where=str(path), fix="map them to a class, name them as void, or mend the file")
        return {"semantic": torch.from_numpy((found - 1).astype(np.uint8))}

    kind = "values"

    def read(self, path: Path) -> Tensor:
        """Raw values, integers [H,W]."""
        return read_labels(path)

    def shown(self, value: int) -> str:
        """A value as a person writes it."""
        return str(value)

    def listed(self) -> str:
        """All values that are known."""
        return _ranges(self.known)


class ColorTable(ValueTable):
    """The same for label files of colours, each as one number R * 65536 + G * 256 + B."""

    kind = "colours"

    def read(self, path: Path) -> Tensor:
        return read_colors(path)

    def shown(self, value: int) -> str:
        return f"[{value >> 16},{value >> 8 & 255},{value & 255}]"

    def listed(self) -> str:
        shown = [self.shown(value) for value in self.known[:16]]
        return ", ".join(shown) + (f" and {len(self.known) - 16} more" if len(self.known) > 16 else "")


def fingerprint(dataset: Any, *, related: bool = False) -> str:
    """sha256 of the names and sizes of the files that the splits of a data set are made of.

    Args:
        dataset: with `splits` and `open`.
        related: `paths` of its samples aren't all: what they name as related counts, too.
    """
    digest = hashlib.sha256()
    for split in dataset.splits:
        opened = dataset.open(split)
        for index in range(len(opened)):
            also = opened.related(index) if related and hasattr(opened, "related") else ()
            for path in (*opened.paths(index), *also):
                if path is not None:
                    digest.update(f"{split}/{path.name}:{path.stat().st_size if path.exists() else None}\n".encode())
    return digest.hexdigest()


def _ranges(values: Sequence[int]) -> str:
    """`0..5, 255` for a sorted list."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    return ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in parts)
