"""Cityscapes (Cordts et al., 2016): street scenes at 2048x1024, 19 classes out of 35 label ids."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segexp.data.cityscapes_faults import CityscapesFiles
from segexp.data.labelled import Annotate, ValueTable, fingerprint
from segexp.errors import ConfigError, DataError
from segexp.functional.images import read_labels
from segexp.functional.panoptic_png import INSTANCES, label_ids
from segexp.functional.segments import to_masks
from segexp.types import ClassInfo, DataSpec

# (name, label id, thing, colour) in the order of the train ids
CLASSES = (
    ("road", 7, False, (128, 64, 128)),
    ("sidewalk", 8, False, (244, 35, 232)),
    ("building", 11, False, (70, 70, 70)),
    ("wall", 12, False, (102, 102, 156)),
    ("fence", 13, False, (190, 153, 153)),
    ("pole", 17, False, (153, 153, 153)),
    ("traffic light", 19, False, (250, 170, 30)),
    ("traffic sign", 20, False, (220, 220, 0)),
    ("vegetation", 21, False, (107, 142, 35)),
    ("terrain", 22, False, (152, 251, 152)),
    ("sky", 23, False, (70, 130, 180)),
    ("person", 24, True, (220, 20, 60)),
    ("rider", 25, True, (255, 0, 0)),
    ("car", 26, True, (0, 0, 142)),
    ("truck", 27, True, (0, 0, 70)),
    ("bus", 28, True, (0, 60, 100)),
    ("train", 31, True, (0, 80, 100)),
    ("motorcycle", 32, True, (0, 0, 230)),
    ("bicycle", 33, True, (119, 11, 32)),
)
LABEL_IDS = tuple(label_id for _, label_id, _, _ in CLASSES)
VOID_IDS = tuple(i for i in range(34) if i not in LABEL_IDS)
TRAIN_IDS = np.array([LABEL_IDS.index(i) if i in LABEL_IDS else 255 for i in range(34)])  # by label id
PICTURE = "_leftImg8bit.png"
ANNOTATIONS = {"semantic": "semantic", "panoptic": "segments", "instances": "masks"}
WITH_INSTANCES = frozenset(range(24, 34))  # label ids; two of them, caravan and trailer, are void


class Cityscapes:
    """Pictures in `leftImg8bit/<split>/<city>/`, labels in `gtFine/<split>/<city>/`, as downloaded.

    Label ids become the 19 train ids as they are read; an install that has `labelTrainIds` alone works, too.

    Args:
        root: the folder that holds `leftImg8bit` and `gtFine`.
        annotation: `semantic` (a class map), `panoptic` (segments, from which a class map follows), or `instances` (the masks of
            the 8 classes of things).
    """

    splits_known = ("train", "val", "test")
    annotations = ANNOTATIONS

    def __init__(self, *, root: str, annotation: str = "semantic") -> None:
        if annotation not in ANNOTATIONS:
            raise ConfigError("no such annotation", where=f"data.annotation={annotation}", fix=f"data.annotation={'|'.join(ANNOTATIONS)}")
        self.root, self.annotation = Path(root), annotation
        self.spec = spec_of(annotation)

    @property
    def splits(self) -> tuple[str, ...]:
        """Those whose pictures are there; `test` only where it has labels (its public ones are void throughout)."""
        there = [name for name in self.splits_known if (self.root / "leftImg8bit" / name).is_dir()]
        return tuple(name for name in there if name != "test")

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """`test` where its pictures are there: it can be opened, and has no labels."""
        return ("test",) if any((self.root / "leftImg8bit" / "test").glob(f"*/*{PICTURE}")) else ()

    def open(self, split: str) -> CityscapesFiles:
        """The pictures of a split in the order of their names; `test` has no labels.

        Raises:
            ConfigError: the folder or the split isn't there.
        """
        folder = self.root / "leftImg8bit" / split
        if not (self.root / "leftImg8bit").is_dir():
            raise ConfigError(
                "Cityscapes is not there",
                where=f"{self.root} (data.root)",
                fix="register at cityscapes-dataset.com, fetch leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, and unpack both "
                "there: leftImg8bit/<split>/<city>/*_leftImg8bit.png, gtFine/<split>/<city>/*_gtFine_labelIds.png",
            )
        if split not in self.splits_known or not folder.is_dir():
            there = "|".join(sorted(p.name for p in folder.parent.iterdir() if p.is_dir()))
            raise ConfigError(f"Cityscapes has no split {split!r}", where=str(folder.parent), fix=f"data.split={there}")
        found = sorted(p.relative_to(folder).as_posix().removesuffix(PICTURE) for p in folder.glob(f"*/*{PICTURE}"))
        if not found and any(folder.glob(f"*{PICTURE}")):
            raise ConfigError("the pictures lie one folder too high", where=str(folder), fix=f"put them into {folder}/<city>/")
        kind = self._kind(split, found)
        conversion = self.root / "gtFine" / f"cityscapes_panoptic_{split}.json", SEGMENTS
        return CityscapesFiles(
            *(split, found, partial(self._place, split, kind), self._reader(kind)),
            id=_name,
            conversion=conversion,
            train_ids=TRAIN_IDS,
            things=WITH_INSTANCES,
        )

    def _reader(self, kind: str | None) -> Annotate:
        if self.annotation == "panoptic":
            return partial(read_segments, spec=self.spec)
        if self.annotation == "instances":
            return read_instances
        values, void = (range(len(CLASSES)), [255]) if kind == "labelTrainIds" else (LABEL_IDS, VOID_IDS)
        return ValueTable(values, void, self.spec)

    def fingerprint(self) -> str:
        """sha256 of the names and sizes of the files."""
        return fingerprint(self)

    def _kind(self, split: str, keys: list[str]) -> str | None:
        """Which of the label files are read: train ids where the first picture has no others; None in a test."""
        if split == "test" or not keys:
            return None
        if self.annotation != "semantic":
            return "instanceIds"
        ready = self._place(split, "labelTrainIds", keys[0])[1], self._place(split, "labelIds", keys[0])[1]
        return "labelTrainIds" if ready[0] and ready[0].is_file() and ready[1] and not ready[1].is_file() else "labelIds"

    def _place(self, split: str, kind: str | None, key: str) -> tuple[Path, Path | None]:
        labels = self.root / "gtFine" / split / f"{key}_gtFine_{kind}.png"
        return self.root / "leftImg8bit" / split / f"{key}{PICTURE}", labels if kind else None


def spec_of(annotation: str) -> DataSpec:
    """The 19 classes; of `instances` the 8 that are things."""
    shown = [entry for entry in CLASSES if entry[2] or annotation != "instances"]
    classes = tuple(ClassInfo(name, thing, color) for name, _, thing, color in shown)
    return DataSpec(classes, frozenset({ANNOTATIONS[annotation]}), values=tuple(entry[1] for entry in shown))


SEGMENTS = spec_of("panoptic")


def read_instances(path: Path) -> dict[str, Tensor]:
    """The things of an `instanceIds` file: `masks` bool [N,H,W]; `labels` int64 [N], 0..7; `crowd` bool [N].

    Raises:
        DataError: as `read_segments`.
    """
    things = torch.tensor(SEGMENTS.thing_ids)
    found = read_segments(path, SEGMENTS)
    chosen = torch.isin(found["segment_labels"], things)  # [S]
    masks = to_masks(found["segments"], chosen.nonzero().flatten() + 1)
    labels = torch.searchsorted(things, found["segment_labels"][chosen])
    return {"masks": masks, "labels": labels, "crowd": found["segment_crowd"][chosen]}


def read_segments(path: Path, spec: DataSpec) -> dict[str, Tensor]:
    """Segments of an `instanceIds` file: `label id x 1000 + number` is an instance, a label id alone is stuff, or a crowd of things.

    Returns:
        `segments` int32 [H,W], 0 = void; `segment_labels` int64 [N]; `segment_crowd` bool [N]; in the order of the file's values.

    Raises:
        DataError: unreadable, or a value whose label id doesn't exist.
    """
    raw = read_labels(path).numpy()
    values = np.flatnonzero(np.bincount(raw.ravel()))
    labelled = label_ids(values)
    if (strange := values[labelled >= len(TRAIN_IDS)]).size:
        text = f"instance values {strange[:8].tolist()} of no label id; known are 0..{len(TRAIN_IDS) - 1}"
        raise DataError(text, where=str(path), fix="instance values are label id x 1000 + number: mend the file")
    classes = TRAIN_IDS[labelled]
    kept = classes != spec.ignore_index
    numbers = np.zeros(values[-1] + 1, np.int32)  # by value of the file
    numbers[values[kept]] = np.arange(1, kept.sum() + 1)
    labels = torch.from_numpy(classes[kept])
    crowd = torch.isin(labels, torch.tensor(spec.thing_ids)) & torch.from_numpy(values[kept] < INSTANCES)
    return {"segments": torch.from_numpy(numbers[raw]), "segment_labels": labels, "segment_crowd": crowd}


def _name(key: str) -> str:
    return key.rpartition("/")[2]
