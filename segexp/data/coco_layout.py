"""What the data sets of COCO's form share: where their files lie, and which splits are there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from segexp.data.coco_json import Annotations, read_annotations
from segexp.data.coco_objects import JsonBoxes, JsonMasks
from segexp.data.coco_splits import CocoFiles, PanopticFiles
from segexp.data.labelled import fingerprint
from segexp.errors import ConfigError
from segexp.types import ClassInfo, DataSpec

SPLITS = ("train", "val", "test")
GIVES = {"panoptic": "segments", "instances": "masks", "boxes": "boxes", "semantic": "semantic"}
OF_OBJECTS = ("instances", "boxes")
Patterns = str | Mapping[str, str] | None  # a path with {split}, or one for each split


class CocoLayout(ABC):
    """Splits as JSON files below `root`; who inherits says in `jsons`, `folders` and `masks` where things may lie.

    Args:
        root: the folder.
        annotation: `panoptic` (segments), `instances` (an object's mask each), `boxes` (of the same objects) or `semantic` (the classes
            of the segments).
    """

    spec: DataSpec
    annotations: Mapping[str, str] = GIVES  # name -> the kind that it gives
    title = "COCO's form"
    hint = ""

    def __init__(self, root: str, annotation: str) -> None:
        if annotation not in GIVES:
            raise ConfigError("no such annotation", where=f"data.annotation={annotation}", fix=f"data.annotation={'|'.join(GIVES)}")
        self.root, self.annotation = Path(root), annotation

    @abstractmethod
    def jsons(self, split: str) -> Iterable[Path]:
        """Where the JSON of a split may lie, the usual place first."""

    @abstractmethod
    def folders(self, split: str) -> Iterable[Path]:
        """Where its pictures may lie."""

    def masks(self, split: str, found: Path) -> Iterable[Path]:
        """Where its PNG may lie; beside the JSON, in a folder of the same name, unless somebody says otherwise."""
        return (found.with_suffix(""),)

    def lists(self, split: str) -> Iterable[Path]:
        """Where the JSON of a split without labels may lie."""
        return ()

    @property
    def splits(self) -> tuple[str, ...]:
        """Those whose JSON is there."""
        return tuple(split for split in SPLITS if self._json(split))

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """`test` where only its pictures are there."""
        return ("test",) if not self._json("test") and first(self.lists("test")) else ()

    def open(self, split: str) -> CocoFiles:
        """The pictures of a split in the order of its JSON.

        Raises:
            ConfigError: the data set or the split isn't there.
            DataError: the JSON is broken.
        """
        path = self._json(split)
        if path is None:
            found = first(self.lists(split))
            if found is None:
                raise self._missing(split)
            return CocoFiles(split, read_annotations(found), self._picture(split, found), self.spec)
        found, picture = read_annotations(path), self._picture(split, path)
        if self.annotation in OF_OBJECTS:
            return (JsonMasks if self.annotation == "instances" else JsonBoxes)(split, found, picture, self.spec)
        places = list(self.masks(split, path)) or [path.with_suffix("")]
        masks = first(places) or places[0]
        return PanopticFiles(split, found, picture, self.spec, masks, semantic=self.annotation == "semantic")

    def fingerprint(self) -> str:
        """sha256 of the names and sizes of the files."""
        return fingerprint(self)

    def _json(self, split: str) -> Path | None:
        return first(self.jsons(split)) if split in SPLITS else None

    def _picture(self, split: str, found: Path) -> partial[Path]:
        """The folder that has the first picture; else the first that is there."""
        names, choices = read_annotations(found).names, list(self.folders(split))
        name = names[0].decode() if len(names) else ""
        best = next((folder for folder in choices if name and (folder / name).is_file()), None)
        if not choices:
            fix = f"data.images={{{split}: <folder>}}, or with {{split}} in the path"
            raise ConfigError(f"no folder of pictures is named for {split}", where=f"{self.root} (data.root)", fix=fix)
        return partial(in_folder, best or first(choices) or choices[0])

    def _missing(self, split: str) -> ConfigError:
        if self.splits:
            return ConfigError(f"{self.title} has no split {split!r} here", where=str(self.root), fix=f"data.split={'|'.join(self.splits)}")
        looked = ", ".join(str(path.relative_to(self.root)) for path in list(self.jsons("train"))[:4] if path.is_relative_to(self.root))
        fix = self.hint or f"put the annotations there: {looked}"
        return ConfigError(f"{self.title}: no annotations are there", where=f"{self.root} (data.root)", fix=fix)


def first(paths: Iterable[Path]) -> Path | None:
    """The first that exists."""
    return next((path for path in paths if path.exists()), None)


def in_folder(folder: Path, found: Annotations, index: int) -> Path:
    """The picture of an image by its file name."""
    return folder / found.names[index].decode()


def spec_of(infos: Iterable[ClassInfo], numbers: Iterable[int], annotation: str) -> DataSpec:
    """The classes with their category ids as `values`, unless these are the class ids."""
    classes, values = tuple(infos), tuple(numbers)
    return DataSpec(classes, frozenset({GIVES[annotation]}), values=values if values != tuple(range(len(values))) else None)
