"""PASCAL VOC 2007 and 2012 (Everingham et al., 2010): class maps, with SBD's labels (Hariharan et al., 2011), objects' masks, boxes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from segexp.data.labelled import Files, LabelledFiles, ValueTable, fingerprint
from segexp.data.palette import voc_color
from segexp.data.voc_objects import VocMasks
from segexp.data.voc_xml import XmlBoxes, check_difficult
from segexp.errors import ConfigError, DataError
from segexp.functional.archives import fetch, unpack
from segexp.types import ClassInfo, DataSpec

VOID = 255  # the border around objects, and difficult ones
THINGS = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
NAMES = ("background", *THINGS)
YEARS = (2007, 2012)
LISTS = ("train", "val", "trainval", "test", "train_aug")
TRAINING = ("train", "trainval", "train_aug")
ANNOTATIONS = {"semantic": "semantic", "instances": "masks", "boxes": "boxes"}
ALIASES = {"train_aug": ("train_aug", "trainaug", "aug")}  # what the list of SBD is called around the world


class Voc:
    """Pictures of any size, and one of three kinds of labels.

    `semantic`: palette PNG, 0 background, 1..20 objects, 255 void. `instances`: the masks of the same pictures from
    `SegmentationObject`. `boxes`: those in the XML of the lists in `ImageSets/Main`, many more pictures. The latter two have the
    20 classes of objects alone.

    Args:
        root: the folder that holds `VOC<year>/JPEGImages` and the labels.
        year: 2007 or 2012.
        train: the list that a training reads: `train`, `trainval` (for a submission: it holds `val`), or `train_aug`
            (10582 pictures: SBD's labels in `SegmentationClassAug`, its list in `ImageSets/Segmentation/train_aug.txt`).
        download: fetch what isn't there when it is first needed; 2 GB for 2012. SBD's labels aren't fetched.
        annotation: `semantic` (as is null), `instances` or `boxes`.
        difficult: of `boxes`: objects that are marked so are a `crowd` (neither trained on nor counted, as VOC's own evaluation has
            it), an `object` like others, or `drop`. In the masks they are void.
    """

    annotations = ANNOTATIONS

    def __init__(
        self,
        *,
        root: str,
        year: int = 2012,
        train: str = "train",
        download: bool = False,
        annotation: str | None = None,
        difficult: str = "crowd",
    ) -> None:
        if year not in YEARS:
            raise ConfigError("VOC has segmentation labels of two years here", where=f"data.year={year}", fix="data.year=2007|2012")
        if train not in TRAINING:
            raise ConfigError("no list for a training", where=f"data.train={train}", fix=f"data.train={'|'.join(TRAINING)}")
        self.annotation = annotation or "semantic"
        if self.annotation not in ANNOTATIONS:
            raise ConfigError("no such annotation", where=f"data.annotation={annotation}", fix=f"data.annotation={'|'.join(ANNOTATIONS)}")
        if train == "train_aug" and self.annotation != "semantic":
            fix = "data.annotation=semantic, or data.train=train|trainval"
            raise ConfigError("SBD's list has class maps alone here", where=f"data.annotation={annotation}", fix=fix)
        check_difficult(difficult)
        self.root, self.year, self.train, self.download, self.difficult = Path(root), year, train, download, difficult
        self.spec = spec_of(self.annotation)

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of train, val and test that are there; `test` only with its labels, which those of 2012 aren't published with."""
        self._ready()
        found = {"train": self._list(self.train), "val": self._list("val"), "test": self._list("test") and self._labelled("test")}
        return tuple(name for name, there in found.items() if there)

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """`test` where its pictures are there without labels; a list alone doesn't count."""
        first = _names(self._list("test"))[:1]
        there = bool(first) and self._place(None, first[0])[0].is_file()
        return ("test",) if there and not self._labelled("test") else ()

    def open(self, split: str) -> Files:
        """Read the list of a split, of any of `LISTS`; the `test` of 2012 has no labels.

        Raises:
            ConfigError: the folder or the split isn't there.
            DataError: a download failed.
        """
        self._ready()
        name = self.train if split == "train" else split
        found = self._list(name) if name in LISTS else None
        if found is None:
            raise self._missing(name)
        labels = self._labels(name) if name != "test" or self._labelled(name) else None
        if self.annotation == "boxes":
            return XmlBoxes(split, _names(found), self.folder / "JPEGImages", labels, self.spec, difficult=self.difficult)
        place = partial(self._place, labels)
        if self.annotation == "instances":
            return VocMasks(split, _names(found), place, self.spec)
        return LabelledFiles(split, _names(found), place, ValueTable(range(len(NAMES)), [VOID], self.spec))

    def fingerprint(self) -> str:
        """sha256 of the names and sizes of the files that the lists name."""
        return fingerprint(self, related=True)

    @property
    def folder(self) -> Path:
        """`VOC<year>`, also where `root` is the folder above `VOCdevkit`."""
        choices = [self.root / f"VOC{self.year}", self.root / "VOCdevkit" / f"VOC{self.year}"]
        return next((choice for choice in choices if choice.is_dir()), choices[0])

    def _list(self, name: str) -> Path | None:
        kind = "Main" if self.annotation == "boxes" else "Segmentation"
        files = [self.folder / "ImageSets" / kind / f"{alias}.txt" for alias in ALIASES.get(name, (name,))]
        return next((file for file in files if file.is_file()), None)

    def _labels(self, name: str) -> Path:
        folder = {"instances": "SegmentationObject", "boxes": "Annotations"}.get(self.annotation, "SegmentationClass")
        return self.folder / ("SegmentationClassAug" if name == "train_aug" else folder)

    def _labelled(self, name: str) -> bool:
        first = _names(self._list(name))[:1]
        return bool(first) and (self._labels(name) / f"{first[0]}{'.xml' if self.annotation == 'boxes' else '.png'}").is_file()

    def _place(self, labels: Path | None, name: str) -> tuple[Path, Path | None]:
        return self.folder / "JPEGImages" / f"{name}.jpg", labels / f"{name}.png" if labels else None

    def _missing(self, name: str) -> ConfigError:
        if not self._list("train"):
            boxes, labels = self.annotation == "boxes", self._labels("train").name
            lists, ending = ("Main", "xml") if boxes else ("Segmentation", "png")
            return ConfigError(
                f"VOC {self.year} is not there",
                where=f"{self.root} (data.root)",
                fix=f"data.download=true, or unpack VOCtrainval of {self.year} so that VOC{self.year}/JPEGImages/*.jpg, "
                f"{labels}/*.{ending} and ImageSets/{lists}/{{train,val}}.txt lie there",
            )
        if name == "train_aug":
            fix = "put SBD's labels as class indices into SegmentationClassAug/*.png (SegmentationClassAug.zip of the DeepLab "
            fix += "ports), and their list of names into ImageSets/Segmentation/train_aug.txt"
            return ConfigError("SBD's list is not there", where=str(self.folder), fix=fix)
        there = "|".join(name for name in LISTS if self._list(name))
        return ConfigError(f"VOC {self.year} has no split {name!r}", where=str(self.folder), fix=f"data.split={there}")

    def _ready(self) -> None:
        """Fetch the archives of the year where none is there."""
        if not self.download or self._list("train"):
            return
        from torchvision.datasets.voc import DATASET_YEAR_DICT

        # the archives bring the folder VOCdevkit along
        above = self.root.parent if self.root.name == "VOCdevkit" else self.root
        parts = ["2007-test", "2007"] if self.year == 2007 else ["2012"]
        entries = [DATASET_YEAR_DICT[part] for part in parts]
        for entry in entries:
            fetch(entry["url"], entry["md5"], above / entry["filename"])
        for entry in entries:
            unpack(above / entry["filename"], above, last="ImageSets")
        for entry in entries:
            (above / entry["filename"]).unlink()


def spec_of(annotation: str) -> DataSpec:
    """Background and the 20 objects; of `instances` and `boxes` the objects alone, in VOC's colours."""
    first = 0 if annotation == "semantic" else 1
    classes = tuple(ClassInfo(name, name in THINGS, voc_color(i)) for i, name in enumerate(NAMES) if i >= first)
    return DataSpec(classes, frozenset({ANNOTATIONS[annotation]}))


def _names(file: Path | None) -> list[str]:
    """The names of a list; lines may also be paths of a picture and its labels, as the lists of SBD often are."""
    if file is None:
        return []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise DataError("the list isn't text", where=str(file), fix="restore it") from None
    return [Path(line.split()[0]).stem for line in lines if line.strip()]
