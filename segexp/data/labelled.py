"""Splits whose samples are files: a picture, and its labels unless the split is one of a test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from segexp.errors import DataError
from segexp.functional.images import read_image, read_labels
from segexp.types import DataSpec

Place = Callable[[str], tuple[Path, Path | None]]
Annotate = Callable[[Path], dict[str, Tensor]]
UNKNOWN = -1


class LabelledFiles:
    """One split, read when its samples are asked for.

    Args:
        name: of the split.
        keys: one per sample, from which `place` finds its files. They are kept as one array of bytes: a million of them
            take tens of megabytes, and worker processes share them.
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
        self.name, self.place, self.annotate, self.channels, self.naming = name, place, annotate, channels, id
        self.keys = np.array([key.encode() for key in keys], dtype=np.bytes_)

    def __len__(self) -> int:
        return len(self.keys)

    def key(self, index: int) -> str:
        """The key of a sample."""
        return self.keys[index].decode()

    def id(self, index: int) -> str:
        """`<split>/<name>`, without opening a file."""
        return f"{self.name}/{self.naming(self.key(index))}"

    def paths(self, index: int) -> tuple[Path, Path | None]:
        """The picture and the label file of a sample."""
        return self.place(self.key(index))

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one sample.

        Returns:
            `image` uint8 or int32 [C,H,W]; what `annotate` gives; `meta` {id, size, path}, the path of the label file
            where there is one.

        Raises:
            DataError: a file is missing or broken, or the sizes differ.
        """
        path, label_path = self.paths(index)
        image = read_image(path)
        size = tuple(image.shape[-2:])
        sample = {"image": tv_tensors.Image(image), "meta": {"id": self.id(index), "size": size, "path": str(label_path or path)}}
        for kind, value in (self.annotate(label_path) if label_path else {}).items():
            if kind in ("semantic", "segments"):
                if tuple(value.shape) != size:
                    sizes = f"the image is {size}, its labels are {tuple(value.shape)}"
                    raise DataError(sizes, where=f"{path} and {label_path}", fix="make the sizes equal")
                value = tv_tensors.Mask(value)
            sample[kind] = value
        return sample


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
        self.table = np.full(max(256, self.known[-1] + 1) + 1, UNKNOWN, dtype=np.int16)  # the last stands for all that are larger
        self.table[void] = spec.ignore_index
        for class_id, group in enumerate(listed):
            self.table[group] = class_id

    def __call__(self, path: Path) -> dict[str, Tensor]:
        """The label file as `semantic` uint8 [H,W].

        Raises:
            DataError: unreadable, or holds values that aren't listed, with how many pixels each.
        """
        raw = read_labels(path).numpy()
        ids = self.table[raw if raw.dtype == np.uint8 else np.minimum(raw, len(self.table) - 1)]
        if ids.min() == UNKNOWN:
            strange, pixels = np.unique(raw[ids == UNKNOWN], return_counts=True)
            told = ", ".join(f"{v} in {n} pixels" for v, n in zip(strange[:8].tolist(), pixels[:8].tolist(), strict=True))
            fix = "map them to a class, name them as void, or mend the file"
            raise DataError(f"label values that no class has: {told}; known are {_ranges(self.known)}", where=str(path), fix=fix)
        return {"semantic": torch.from_numpy(ids.astype(np.uint8))}


def fingerprint(dataset: Any) -> str:
    """sha256 of the names and sizes of the files that the splits of a data set are made of."""
    digest = hashlib.sha256()
    for split in dataset.splits:
        opened = dataset.open(split)
        for index in range(len(opened)):
            for path in opened.paths(index):
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
