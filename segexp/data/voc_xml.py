"""Boxes in the XML of PASCAL VOC, of VOC itself and of any set that is written so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from segexp.data.class_names import given_classes
from segexp.data.coco_json import Fault
from segexp.data.labelled import fingerprint
from segexp.data.objects import BoxFiles, Objects
from segexp.data.palette import voc_color
from segexp.errors import ConfigError, DataError
from segexp.types import ClassInfo, DataSpec

SPLITS = ("train", "val", "test")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".JPG", ".JPEG", ".PNG")
DIFFICULT = ("crowd", "object", "drop")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class XmlBoxes(BoxFiles):
    """One split, whose samples each have an XML.

    Args:
        name: of the split.
        keys: names of the pictures without ending.
        pictures: their folder.
        annotations: the folder of the XML; None of a test without labels.
        spec: the classes.
        one_based: the first pixel is 1, and `xmax` and `ymax` are the last ones that belong to the object, as in VOC; else they
            are 0 and the first ones that don't.
        difficult: what becomes of objects that are marked so: `crowd`, `object` or `drop`.
    """

    def __init__(
        self,
        name: str,
        keys: Sequence[str],
        pictures: Path,
        annotations: Path | None,
        spec: DataSpec,
        *,
        one_based: bool = True,
        difficult: str = "crowd",
    ) -> None:
        super().__init__(name, np.array([key.encode() for key in keys], np.bytes_), spec.in_channels)
        self.pictures, self.annotations, self.one_based, self.difficult = pictures, annotations, one_based, difficult
        self.classes = {info.name: number for number, info in enumerate(spec.classes)}

    def id(self, index: int) -> str:
        return f"{self.name}/{self.key(index)}"

    def paths(self, index: int) -> tuple[Path, Path | None]:
        return picture_of(self.pictures, self.key(index)), None

    def annotation(self, index: int) -> Path | None:
        return self.annotations / f"{self.key(index)}.xml" if self.annotations else None

    def size(self, index: int) -> tuple[int, ...]:
        path = self.annotation(index)
        values = [(parse(path).findtext(f"size/{side}") or "").strip() for side in ("height", "width")] if path else ["", ""]
        return tuple(int(value) if value.isdigit() else 0 for value in values)

    def read(self, index: int) -> Objects:
        path = self.annotation(index)
        boxes, labels, crowd, names, faults = [], [], [], [], []
        for number, item in enumerate(parse(path).findall("object") if path else (), 1):
            name, difficult = (item.findtext("name") or "").strip(), (item.findtext("difficult") or "").strip() == "1"
            if difficult and self.difficult == "drop":
                continue
            if name not in self.classes:
                what = f"class {name!r}, which isn't among the {len(self.classes)} classes" if name else "no class is given"
                faults.append(Fault("object-class", f"image {self.id(index)}, object {number}: {what}", (str(path),)))
                continue
            boxes.append(corners(item, one_based=self.one_based))
            labels.append(self.classes[name])
            crowd.append(difficult and self.difficult == "crowd")
            names.append(f"object {number}")
        return Objects(np.array(boxes, np.float64).reshape(-1, 4), np.array(labels, np.int64), np.array(crowd, bool), names, tuple(faults))

    def file_faults(self) -> Iterator[Fault]:
        """Boxes that begin at 0 in a set that should count from 1."""
        if not self.one_based or self.annotations is None:
            return
        boxes = [self.read(index).boxes for index in range(len(self))]
        found = np.concatenate(boxes) if boxes else np.zeros((0, 4))
        if zero := int((found[:, :2] == -1).any(1).sum()):
            what = f"{self.name}: {zero} of {len(found)} boxes begin at 0, where the first pixel should be 1"
            yield Fault("box-base", what, (str(self.annotations),))


class VocXml:
    """Pictures, an XML with boxes for each, and lists of names: the layout of PASCAL VOC, by whatever names of folders.

    Without lists (`lists: null`) a split is a folder: say `{split}` in `images` and `annotations`.

    Args:
        root: the folder.
        classes: names, in the order of the class ids; null = those in the XML of `train`, in alphabetical order.
        images, annotations, lists: folders below `root`.
        one_based: the first pixel is 1 and the last one belongs to the object (VOC); false: the first is 0 and `xmax` lies beyond.
        difficult: objects that are marked so are a `crowd` (neither trained on nor counted), an `object` like others, or `drop`.
    """

    def __init__(
        self,
        *,
        root: str,
        classes: Sequence[str] | None = None,
        images: str = "JPEGImages",
        annotations: str = "Annotations",
        lists: str | None = "ImageSets/Main",
        one_based: bool = True,
        difficult: str = "crowd",
    ) -> None:
        check_difficult(difficult)
        if lists is None and ("{split}" not in images or "{split}" not in annotations):
            fix = "data.images='{split}' data.annotations='{split}', or data.lists=ImageSets/Main"
            raise ConfigError("without lists a split is a folder", where=f"data.images={images}", fix=fix)
        self.root, self.classes = Path(root), given_classes(classes)
        self.images, self.annotations, self.lists = images, annotations, lists
        self.one_based, self.difficult = one_based, difficult

    @cached_property
    def spec(self) -> DataSpec:
        """The classes, all of them things.

        Raises:
            ConfigError: they aren't given, and there is no split to find them in.
            DataError: an XML is broken.
        """
        names = self.classes
        if names is None:
            split = next(iter(self.splits), None)
            if split is None:
                raise self._missing("train")
            files = (self._folder(self.annotations, split) / f"{name}.xml" for name in self._names(split))
            names = sorted({item.findtext("name", "").strip() for file in files for item in parse(file).findall("object")} - {""})
        return DataSpec(tuple(ClassInfo(name, True, voc_color(i + 1)) for i, name in enumerate(names)), frozenset({"boxes"}))

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of train, val and test that have a list, or a folder."""
        return tuple(split for split in SPLITS if self._there(split))

    def open(self, split: str) -> XmlBoxes:
        """The pictures of a split, in the order of its list.

        Raises:
            ConfigError: the folder or the split isn't there.
            DataError: the list is no text.
        """
        if not self._there(split):
            raise self._missing(split)
        folders = (self._folder(name, split) for name in (self.images, self.annotations))
        return XmlBoxes(split, self._names(split), *folders, self.spec, one_based=self.one_based, difficult=self.difficult)

    def fingerprint(self) -> str:
        """sha256 of the names and sizes of the files."""
        return fingerprint(self, related=True)

    def _folder(self, pattern: str, split: str) -> Path:
        return self.root / pattern.replace("{split}", split)

    def _there(self, split: str) -> bool:
        if self.lists is None:
            return self._folder(self.annotations, split).is_dir()
        return (self.root / self.lists / f"{split}.txt").is_file()

    def _names(self, split: str) -> list[str]:
        if self.lists is not None:
            return read_list(self.root / self.lists / f"{split}.txt")
        folder = self._folder(self.images, split)
        return sorted(path.stem for path in folder.iterdir() if path.suffix in SUFFIXES) if folder.is_dir() else []

    def _missing(self, split: str) -> ConfigError:
        if self.splits:
            return ConfigError(f"there is no split {split!r}", where=str(self.root), fix=f"data.split={'|'.join(self.splits)}")
        looked = f"{self.lists}/train.txt" if self.lists else self.annotations.replace("{split}", "train")
        return ConfigError(
            "boxes in VOC's XML are not there",
            where=f"{self.root} (data.root)",
            fix=f"put {looked}, {self.images} and {self.annotations} there, or name what they are called: data.lists, data.images, "
            "data.annotations",
        )


def check_difficult(value: str) -> None:
    """Refuse what can't become of difficult objects.

    Raises:
        ConfigError: it is none of `DIFFICULT`.
    """
    if value not in DIFFICULT:
        raise ConfigError("no such treatment", where=f"data.difficult={value}", fix=f"data.difficult={'|'.join(DIFFICULT)}")


def parse(path: Path) -> Any:
    """The root of an XML.

    Raises:
        DataError: it isn't there, or is no XML.
    """
    try:
        return ElementTree.parse(path).getroot()
    except FileNotFoundError:
        fix = "restore the file, or take the picture off the list; one without objects has an XML without <object>"
        raise DataError("the annotation is missing", where=str(path), fix=fix) from None
    except (ElementTree.ParseError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"no valid XML: {error}", where=str(path), fix="restore the file") from None


def corners(item: Any, *, one_based: bool) -> list[float]:
    """The box of an object, xyxy half-open; NaN where it has none.

    A box that ends where it begins is taken for empty in either counting: it is a slip of the mouse, not an object of one pixel.
    """
    try:
        x1, y1, x2, y2 = (float(item.findtext(f"bndbox/{name}") or "nan") for name in CORNERS)
    except ValueError:
        return [np.nan] * 4
    shift = float(one_based and x2 > x1 and y2 > y1)
    return [x1 - shift, y1 - shift, x2, y2]


def picture_of(folder: Path, name: str) -> Path:
    """The picture of a name, whatever its ending; the usual one where there is none."""
    choices = (folder / f"{name}{suffix}" for suffix in SUFFIXES)
    return next((path for path in choices if path.is_file()), folder / f"{name}{SUFFIXES[0]}")


def read_list(file: Path) -> list[str]:
    """The names of a list: the first word of each line, or its stem where it is a path.

    Raises:
        DataError: it isn't text.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError("the list isn't text", where=str(file), fix="restore it") from None
    words = (line.split()[0] for line in lines if line.strip())
    return [Path(word).stem if Path(word).suffix in SUFFIXES else word for word in words]
