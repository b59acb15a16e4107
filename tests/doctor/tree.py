"""A small data set of files that is clean until a test plants a defect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from segexp.data.labelled import ColorTable, LabelledFiles, ValueTable
from segexp.errors import DataError
from segexp.types import ClassInfo, DataSpec

COLORS = ((200, 30, 40), (30, 160, 60), (40, 60, 220), (220, 190, 20), (150, 40, 190), (20, 180, 190))
VOID = 255
SIZE = (40, 48)  # height, width
NUMBER = 6  # of each split


class Mini:
    """Lines `image labels` in `train.txt` and `val.txt`; labels are class ids, or `step` times them, or colours."""

    def __init__(self, root: Path, *, classes: int = 6, step: int = 1, colors: bool = False, channels: int = 3) -> None:
        self.root, self.step, self.colors = Path(root), step, colors
        infos = tuple(ClassInfo(f"c{i}", False, COLORS[i]) for i in range(classes))
        self.spec = DataSpec(infos, frozenset({"semantic"}), in_channels=channels)

    splits = ("train", "val")

    def open(self, split: str) -> LabelledFiles:
        keys = []
        for line in (self.root / f"{split}.txt").read_text(encoding="utf-8-sig").splitlines():
            if line.strip():
                keys.append(line.strip())
                if len(line.split()) != 2:
                    raise DataError(f"{line!r} is not 'image labels'", where=f"{split}.txt", fix="mend the line")
        return LabelledFiles(
            split, keys, self._place, self._table(), channels=self.spec.in_channels, id=lambda key: Path(key.split()[0]).stem
        )

    def fingerprint(self) -> str:
        return "of files"

    def _place(self, key: str) -> tuple[Path, Path]:
        image, labels = key.split()
        return self.root / image, self.root / labels

    def _table(self) -> ValueTable:
        if self.colors:
            return ColorTable([[r << 16 | g << 8 | b] for r, g, b in COLORS], [0], self.spec)
        return ValueTable([self.step * i for i in range(self.spec.num_classes)], [VOID], self.spec)


def _name(key: str) -> str:
    return Path(key.split()[0]).stem


def picture(rng: np.random.Generator, *, grey: bool = False) -> Image.Image:
    """Coarse noise: each is unlike all others."""
    small = Image.fromarray(rng.integers(0, 256, (SIZE[0] // 4, SIZE[1] // 4, 3), dtype=np.uint8))
    image = small.resize(SIZE[::-1], Image.Resampling.NEAREST)
    return image.convert("L") if grey else image


def ids(rng: np.random.Generator, classes: int = 6) -> np.ndarray:
    """Blocks of 8 pixels of all classes, and of void: uint8 [H,W]."""
    blocks = rng.permutation(np.arange(SIZE[0] * SIZE[1] // 64) % (classes + 1)).astype(np.uint8)
    blocks[blocks == classes] = VOID
    return blocks.reshape(SIZE[0] // 8, SIZE[1] // 8).repeat(8, 0).repeat(8, 1)


def plant(root: Path, *, step: int = 1, colors: bool = False, grey: bool = False, classes: int = 6) -> Path:
    """Write a clean tree."""
    rng = np.random.default_rng(7)
    for split in ("train", "val"):
        (root / "images" / split).mkdir(parents=True)
        (root / "masks" / split).mkdir(parents=True)
        lines = []
        for i in range(NUMBER):
            name = f"{split[0]}{i}.png"
            picture(rng, grey=grey).save(root / "images" / split / name)
            write_labels(root / "masks" / split / name, ids(rng, classes), step=step, colors=colors)
            lines.append(f"images/{split}/{name} masks/{split}/{name}")
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def write_labels(path: Path, labels: np.ndarray, *, step: int = 1, colors: bool = False) -> None:
    """Class ids [H,W] as a file."""
    if colors:
        table = np.zeros((256, 3), np.uint8)
        table[: len(COLORS)] = COLORS
        Image.fromarray(table[labels]).save(path)
    else:
        Image.fromarray(np.where(labels == VOID, VOID, labels * step).astype(np.uint8)).save(path)


def add(root: Path, line: str, split: str = "train") -> None:
    """One more line of a list."""
    with (root / f"{split}.txt").open("a") as file:
        file.write(line + "\n")
