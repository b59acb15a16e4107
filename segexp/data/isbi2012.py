"""ISBI 2012 (Arganda-Carreras et al., 2015): membranes in slices of a fly's nerve cord, one grey channel, 512x512."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torchvision import tv_tensors

from segexp.data.labelled import LabelledFiles, ValueTable, fingerprint
from segexp.errors import ConfigError, DataError
from segexp.functional.images import page_count, read_page
from segexp.types import ClassInfo, DataSpec

CLASSES = (ClassInfo("interior", False, (60, 120, 216)), ClassInfo("membrane", False, (255, 196, 61)))
SPLITS = ("train", "val", "test")
VOLUME, LABELS = "train-volume.tif", "train-labels.tif"
SLICES = {"train": range(16), "val": range(16, 22), "test": range(22, 30)}  # of the published stack; all of them have labels


class Isbi2012:
    """Folders `<split>/images/*.png` and `<split>/labels/*.png` (1 = membrane), or the published stacks.

    Of the stacks `train-volume.tif` and `train-labels.tif` (0 = membrane, 255 = interior), slices 0..15 are `train`,
    16..21 `val` and 22..29 `test`.

    Args:
        root: the folder.
    """

    spec = DataSpec(CLASSES, frozenset({"semantic"}), in_channels=1)

    def __init__(self, *, root: str) -> None:
        self.root = Path(root)

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that are there."""
        if (self.root / VOLUME).is_file():
            return SPLITS
        return tuple(name for name in SPLITS if (self.root / name / "images").is_dir())

    def open(self, split: str) -> LabelledFiles | StackSplit:
        """The slices of a split, in order.

        Raises:
            ConfigError: the folder or the split isn't there.
            DataError: the stacks have other slices than the published ones.
        """
        if not self.splits:
            raise ConfigError(
                "ISBI 2012 is not there",
                where=f"{self.root} (data.root)",
                fix=f"put the challenge's {VOLUME} and {LABELS} there, or train/images/*.png and train/labels/*.png, val/...",
            )
        if split not in self.splits:
            raise ConfigError(f"ISBI 2012 has no split {split!r}", where=str(self.root), fix=f"data.split={'|'.join(self.splits)}")
        if (self.root / VOLUME).is_file():
            return StackSplit(split, self.root)
        keys = sorted(path.name for path in (self.root / split / "images").glob("*.png"))
        return LabelledFiles(split, keys, partial(self._place, split), ValueTable([0, 1], [], self.spec), channels=1, id=_stem)

    def fingerprint(self) -> str:
        """sha256 of the names and sizes of the files."""
        return fingerprint(self)

    def _place(self, split: str, key: str) -> tuple[Path, Path]:
        return self.root / split / "images" / key, self.root / split / "labels" / key


class StackSplit:
    """Some slices of the published stacks.

    Args:
        name: of the split.
        root: the folder of the stacks.

    Raises:
        DataError: a stack is missing, or hasn't as many slices as it has to have.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name, self.slices, self.files = name, SLICES[name], (root / VOLUME, root / LABELS)
        wanted = SLICES["test"].stop
        for file in self.files:
            if (found := page_count(file)) != wanted:
                raise DataError(f"a stack of {found} slices, {wanted} are published", where=str(file), fix="fetch it anew")

    def __len__(self) -> int:
        return len(self.slices)

    def id(self, index: int) -> str:
        """`<split>/<slice>`."""
        return f"{self.name}/{self.slices[index]:02d}"

    def paths(self, index: int) -> tuple[Path, Path]:
        """The stacks; the same ones for every sample."""
        return self.files

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read one slice: `image` uint8 [1,H,W], `semantic` uint8 [H,W], `meta`.

        Raises:
            DataError: a slice can't be decoded, or a label is neither 0 nor 255.
        """
        image, labels = (read_page(file, self.slices[index]) for file in self.files)
        if image.shape != labels.shape:
            sizes = f"the image is {tuple(image.shape[-2:])}, its labels are {tuple(labels.shape[-2:])}"
            raise DataError(sizes, where=f"{self.files[1]}, slice {self.slices[index]}", fix="fetch the stacks anew")
        if not torch.isin(labels, torch.tensor([0, 255], dtype=labels.dtype)).all():
            strange = [value for value in labels.unique().tolist() if value not in (0, 255)]
            where = f"{self.files[1]}, slice {self.slices[index]}"
            raise DataError(f"labels {strange[:8]}; known are 0 (membrane) and 255", where=where, fix="fetch the stacks anew")
        semantic = (labels[0] == 0).to(torch.uint8)
        meta = {"id": self.id(index), "size": tuple(semantic.shape), "path": str(self.files[1])}
        return {"image": tv_tensors.Image(image), "semantic": tv_tensors.Mask(semantic), "meta": meta}


def _stem(key: str) -> str:
    return Path(key).stem
