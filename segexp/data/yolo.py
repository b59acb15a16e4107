"""Boxes as the YOLO family writes them: a text beside each picture, a line `class x y width height` for each object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from segexp.data.class_names import distinct, given_classes
from segexp.data.coco_json import Fault
from segexp.data.coco_names import called, levels
from segexp.data.labelled import fingerprint
from segexp.data.objects import BoxFiles, Objects
from segexp.data.palette import voc_color
from segexp.data.voc_xml import SUFFIXES
from segexp.errors import ConfigError, DataError
from segexp.types import ClassInfo, DataSpec

SPLITS = ("train", "val", "test")
NAMES = {"train": ("train", "train2017"), "val": ("val", "valid", "validation", "val2017"), "test": ("test", "test2017")}
PLACES = ("images/{}", "{}/images", "{}")
BOX = 5  # numbers of a line with a box; one with a polygon has class and at least three points
MOST = 2.0  # shares of the picture that a coordinate may be: more is a pixel


class YoloBoxes(BoxFiles):
    """One split. A picture without a text, or whose text is empty, has no objects.

    Args:
        name: of the split.
        pictures: their files, relative to `root`.
        root: the folder.
        spec: the classes.
    """

    slack = 0.01  # shares, as `size` is

    def __init__(self, name: str, pictures: Sequence[str], root: Path, spec: DataSpec) -> None:
        super().__init__(name, np.array([path.encode() for path in pictures], np.bytes_), spec.in_channels)
        self.root, self.classes = root, spec.num_classes
        self.levels = levels(self.keys)

    def id(self, index: int) -> str:
        """`<split>/<stem of the picture>`; where others have this stem, with the folders before it."""
        return f"{self.name}/{called(self.key(index), int(self.levels[index]))}"

    def paths(self, index: int) -> tuple[Path, Path | None]:
        return self.root / self.key(index), None

    def annotation(self, index: int) -> Path:
        return self.root / text_of(self.key(index))

    def scaled(self, boxes: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
        return boxes * np.array([size[1], size[0]] * 2, np.float64)

    def size(self, index: int) -> tuple[int, ...]:
        """That of the whole, in the text's own unit."""
        return 1, 1

    def read(self, index: int) -> Objects:
        boxes, labels, names, faults = [], [], [], []
        path = self.annotation(index)
        for number, line in enumerate(_lines(path), 1):
            if not line.split():
                continue
            box, label, wrong = self._object(line)
            if wrong:
                kind = "object-class" if label is not None else "object-line"
                faults.append(Fault(kind, f"image {self.id(index)}, line {number}: {wrong}", (str(path),)))
            else:
                boxes.append(box)
                labels.append(label)
                names.append(f"line {number}")
        crowd = np.zeros(len(labels), bool)
        return Objects(np.array(boxes, np.float64).reshape(-1, 4), np.array(labels, np.int64), crowd, names, tuple(faults))

    def _object(self, line: str) -> tuple[list[float], int | None, str]:
        """Box xyxy as shares of the picture, class, and what is wrong with the line."""
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            return [], None, f"{line.strip()[:60]!r} are no numbers"
        points = values[1:]
        if len(values) != BOX and (len(points) < 6 or len(points) % 2):
            return [], None, f"{len(values)} numbers, which are neither a class and a box nor a class and a polygon"
        if values[0] not in range(self.classes):
            return [], int(values[0]) if np.isfinite(values[0]) else 0, f"class {values[0]:g}, the set has 0..{self.classes - 1}"
        if np.abs(points).max() > MOST:
            return [], None, f"{max(points, key=abs):g} is no share of the picture: coordinates are from 0 to 1"
        if len(values) == BOX:
            x, y, width, height = points
            return [x - width / 2, y - height / 2, x + width / 2, y + height / 2], int(values[0]), ""
        return [min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])], int(values[0]), ""


class Yolo:
    """Pictures in `images/<split>` or `<split>/images`, texts in `labels/<split>` or `<split>/labels`, or beside the pictures.

    Of polygons, as segmentation sets have them, the box is taken. Classes come from `data.yaml` (or another YAML) below `root`, whose
    `train`, `val` and `test` are believed where they name a folder or a list that is there, or several.

    Args:
        root: the folder.
        classes: names in the order of the class ids; null = `names` of the YAML.
        file: the YAML; null = `data.yaml`, or the only one in the folder.
    """

    def __init__(self, *, root: str, classes: Sequence[str] | None = None, file: str | None = None) -> None:
        self.root, self.classes, self.file = Path(root), given_classes(classes), file

    @cached_property
    def yaml(self) -> Path | None:
        """The YAML; None where there is none.

        Raises:
            ConfigError: the file that was named isn't there.
        """
        found = [self.root / self.file] if self.file else [self.root / "data.yaml", *sorted(self.root.glob("*.yaml"))]
        path = next((choice for choice in found if choice.is_file()), None)
        if path is None and self.file:
            raise ConfigError("there is no such file", where=f"data.file={self.file} below {self.root}", fix="data.file=data.yaml")
        return path

    @cached_property
    def plain(self) -> Mapping[str, Any]:
        """What the YAML says; nothing where there is none.

        Raises:
            ConfigError: the file that was named isn't there.
            DataError: it is no YAML.
        """
        import yaml

        path = self.yaml
        try:
            plain = yaml.safe_load(path.read_text(encoding="utf-8")) if path else {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise DataError(f"no valid YAML: {str(error).splitlines()[0]}", where=str(path), fix="restore the file") from None
        return plain if isinstance(plain, Mapping) else {}

    @cached_property
    def spec(self) -> DataSpec:
        """The classes, all of them things.

        Raises:
            ConfigError: they are given neither here nor in the YAML.
            DataError: the YAML's can't be understood, or contradict its `nc`.
        """
        names = self._named() if self.classes is None else self.classes
        return DataSpec(tuple(ClassInfo(name, True, voc_color(i + 1)) for i, name in enumerate(names)), frozenset({"boxes"}))

    @property
    def splits(self) -> tuple[str, ...]:
        """Those whose pictures are there."""
        return tuple(split for split in SPLITS if self._places(split))

    def open(self, split: str) -> YoloBoxes:
        """The pictures of a split in the order of their names, or of their list; one that is listed twice counts once.

        Raises:
            ConfigError: the folder or the split isn't there.
            DataError: the YAML names what isn't there, or a list is no text.
        """
        places = self._places(split) if split in SPLITS else []
        if not places and self.splits:
            raise ConfigError(f"there is no split {split!r}", where=str(self.root), fix=f"data.split={'|'.join(self.splits)}")
        if not places:
            fix = "put images/train/*.jpg, labels/train/*.txt and data.yaml there, the same for val"
            raise ConfigError("no pictures with texts of boxes are there", where=f"{self.root} (data.root)", fix=fix)
        pictures = dict.fromkeys(picture for place in places for picture in self._pictures(place))
        return YoloBoxes(split, list(pictures), self.root, self.spec)

    def fingerprint(self) -> str:
        """sha256 of the names and sizes of the files."""
        return fingerprint(self, related=True)

    def _named(self) -> tuple[str, ...]:
        """The names in the YAML."""
        names, count, where = self.plain.get("names"), self.plain.get("nc"), f"names of {self.yaml}"
        if names is None:
            what = "no classes are given, and no data.yaml names them"
            raise ConfigError(what, where=f"{self.root} (data.root)", fix="data.classes=[car,person], or names: [car, person] in data.yaml")
        if isinstance(names, Mapping):
            if set(names) != set(range(len(names))):
                what = f"the class ids aren't 0, 1, ... without a gap: {list(names)[:8]}"
                raise DataError(what, where=where, fix="number them 0, 1, ... without a gap")
            names = [names[number] for number in range(len(names))]
        found = distinct(names)
        if found is None:
            what = f"a list of different names is wanted, not {str(names)[:80]}"
            raise DataError(what, where=where, fix="names: [car, person], or data.classes=[car,person]")
        if count is not None and count != len(found):
            raise DataError(f"nc is {count}, yet {len(found)} names are listed", where=where, fix="make them agree, or take nc away")
        return found

    def _places(self, split: str) -> list[Path]:
        """The folders and lists of a split; none where it isn't there."""
        told = self._told(split)
        above = [self.root / str(self.plain.get("path") or ""), self.root]
        found = [_first([*(folder / name for folder in above), self.root / name.lstrip("./")]) for name in told]
        there = [path for path in found if path]
        if there and len(there) < len(told):
            missing = ", ".join(name for name, path in zip(told, found, strict=True) if path is None)
            what = f"{split} names what isn't there, or has no pictures: {missing}"
            raise DataError(what, where=str(self.yaml), fix=f"put it there, or take it out of {split}")
        usual = _first([self.root / place.format(name) for place in PLACES for name in NAMES[split]])
        return there or ([usual] if usual else [])

    def _told(self, split: str) -> list[str]:
        """The folders and lists that the YAML names for a split."""
        told = next((self.plain[name] for name in NAMES[split] if self.plain.get(name)), [])
        names = [told] if isinstance(told, str) else told
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            what = f"{split} is a folder, a list of pictures, or several of them, not {str(told)[:80]}"
            raise DataError(what, where=str(self.yaml), fix=f"{split}: images/{split}")
        return names

    def _pictures(self, place: Path) -> list[str]:
        if place.is_file():
            try:
                lines = [line.strip() for line in place.read_text(encoding="utf-8").splitlines() if line.strip()]
            except UnicodeDecodeError:
                raise DataError("the list isn't text", where=str(place), fix="restore it, or write it as UTF-8") from None
            found = [self.root / line for line in lines]
        else:
            found = sorted(path for path in place.iterdir() if path.suffix in SUFFIXES)
        root = self.root.resolve()
        return [str(path.resolve().relative_to(root)) if path.resolve().is_relative_to(root) else str(path.resolve()) for path in found]


def text_of(picture: str) -> str:
    """The text of a picture: in `labels` where its path has a folder `images`, else beside it."""
    parts = list(Path(picture).with_suffix(".txt").parts)
    folders = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if folders:
        parts[folders[-1]] = "labels"
    return str(Path(*parts))


def _first(choices: Sequence[Path]) -> Path | None:
    """The first that is a list, or a folder with pictures."""
    return next((path for path in choices if path.is_file() or (path.is_dir() and _any_picture(path))), None)


def _any_picture(folder: Path) -> bool:
    return any(path.suffix in SUFFIXES for path in folder.iterdir())


def _lines(path: Path) -> Iterator[str]:
    try:
        yield from path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"the text can't be read: {type(error).__name__}", where=str(path), fix="restore the file") from None
