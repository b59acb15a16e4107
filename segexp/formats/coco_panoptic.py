"""Segments in COCO's panoptic form: a PNG of ids for each image, and one JSON that says what they are."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import torch
from torch import Tensor

from segexp.errors import DataError
from segexp.functional.files import write_atomic
from segexp.functional.names import flat
from segexp.functional.panoptic_png import INSTANCES, tight_boxes, write_ids
from segexp.types import DataSpec

Id = int | str


class PanopticWriter:
    """Writes image after image, keeps none of them, and puts the JSON in place at the end, whole.

        with PanopticWriter(folder, spec) as writer:
            writer.add("val/000000000285", (640, 586), segments, labels, scores)

    makes `<folder>/<name>.json` and `<folder>/<name>/000000000285.png`. Where an exception ends the block, there is no JSON,
    and of the folders that were made here none that is empty.

    Args:
        folder: made where it isn't there.
        spec: the classes; its `values` are the category ids.
        name: of the JSON and of the folder of PNG.
        image_ids: name of a picture -> image id of the data set's own JSON (`open(split).image_ids()`), which an official script
            looks for; else the name itself, as a number where it is one.
    """

    def __init__(self, folder: Path, spec: DataSpec, *, name: str = "panoptic", image_ids: Mapping[str, Id] | None = None) -> None:
        self.json, self.folder, self.spec = folder / f"{name}.json", folder / name, spec
        self.values = spec.values or tuple(range(spec.num_classes))
        self.image_ids = image_ids or {}
        self.seen: set[Id] = set()
        self.images: list[str] = []
        self.spool: IO[bytes] | None = None
        self.made: list[Path] = []  # folders, the innermost first

    def __enter__(self) -> Self:
        self.made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.spool = tempfile.TemporaryFile(dir=self.folder)  # annotations, until the JSON is complete
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        spool, self.spool = self.spool, None
        if spool is None:
            return
        with spool:
            if kind is None:
                spool.seek(0)
                write_atomic(self.json, lambda file: self._finish(file, spool))
        if kind is not None:
            with suppress(OSError):  # one holds something
                for path in self.made:
                    path.rmdir()

    def add(
        self,
        id: str,
        size: Sequence[int],
        segments: Tensor,
        labels: Tensor,
        scores: Tensor | None = None,
        *,
        crowd: Tensor | None = None,
        file_name: str = "",
    ) -> None:
        """Write one image.

        Args:
            id: of the sample; its split is left out, and its folders become a part of the name (`names.flat`).
            size: (height, width) of the picture.
            segments: int [H,W], 0 = void, 1..S.
            labels: int [S], the class of segment s at s - 1.
            scores: float [S].
            crowd: bool [S].
            file_name: of the picture, for the JSON.

        Raises:
            DataError: an image twice, a map of another size, a segment without pixel or without label, or a class that isn't there.
        """
        if self.spool is None:
            raise RuntimeError("a PanopticWriter writes within its `with` block only")
        name = flat(id)
        number = self._number(name)
        ids = segments.cpu().numpy()
        classes = [int(value) for value in torch.as_tensor(labels).tolist()]
        areas = _areas(ids, classes, size, f"image {number}", self.spec.num_classes)
        if number in self.seen:
            raise DataError(f"image {number} is written twice", where=str(self.json), fix="give each picture its own id")
        self.seen.add(number)
        own = self._ids(classes, [False] * len(classes) if crowd is None else crowd.tolist())
        infos = self._infos(own, classes, areas, tight_boxes(ids, len(classes)), scores, crowd)
        png = self._png(name)
        write_ids(self.folder / png, np.array([0, *own], np.int64)[ids])
        self.spool.write(b",\n" if self.images else b"\n")
        self.spool.write(_text({"image_id": number, "file_name": png, "segments_info": infos}))
        image = {"id": number, "file_name": file_name or f"{name}.jpg", "height": int(size[0]), "width": int(size[1])}
        self.images.append(_text(image).decode())

    def _number(self, name: str) -> Id:
        return self.image_ids.get(name, int(name) if name.isascii() and name.isdigit() else name)

    def _png(self, name: str) -> str:
        return f"{name}.png"

    def _ids(self, classes: list[int], crowd: list[bool]) -> list[int]:
        """What the segments are called in the PNG."""
        return list(range(1, len(classes) + 1))

    def _infos(
        self, ids: list[int], classes: list[int], areas: np.ndarray, boxes: np.ndarray, scores: Tensor | None, crowd: Tensor | None
    ) -> list[dict[str, Any]]:
        found = []
        for place, (number, class_id) in enumerate(zip(ids, classes, strict=True)):
            info = {"id": number, "category_id": self.values[class_id], "area": int(areas[place]), "bbox": boxes[place].tolist()}
            info["iscrowd"] = int(crowd is not None and bool(crowd[place]))
            if scores is not None:
                info["score"] = round(float(scores[place]), 6)
            found.append(info)
        return found

    def _finish(self, file: Any, spool: IO[bytes]) -> None:
        file.write(b'{"annotations": [')
        shutil.copyfileobj(spool, file)
        file.write(b'\n],\n"images": [\n' + ",\n".join(self.images).encode() + b'\n],\n"categories": ')
        file.write(_text(categories(self.spec)) + b"}\n")


class CityscapesPanopticWriter(PanopticWriter):
    """The same in the form of Cityscapes' own conversion: image ids are texts (`ulm_000000_000019`), PNG end in `_gtFine_panoptic`.

    A thing's id is label id x 1000 + its number, that of stuff, and of a crowd, the label id alone.
    """

    def _number(self, name: str) -> Id:
        return self.image_ids.get(name, name)

    def _png(self, name: str) -> str:
        return f"{name}_gtFine_panoptic.png"

    def _ids(self, classes: list[int], crowd: list[bool]) -> list[int]:
        found, taken, counts = [], set(), {}
        for class_id, group in zip(classes, crowd, strict=True):
            label = self.values[class_id]
            number = label if group or class_id not in self.spec.thing_ids else label * INSTANCES + counts.get(label, 0)
            counts[label] = counts.get(label, 0) + (number != label)
            if number in taken or counts[label] > INSTANCES:
                number = 100_000 + len(found)  # more than the convention has room for: still an id of its own
            taken.add(number)
            found.append(number)
        return found


def categories(spec: DataSpec) -> list[dict[str, Any]]:
    """The classes as `categories` of a JSON."""
    values = spec.values or range(spec.num_classes)
    return [
        {"id": value, "name": info.name, "isthing": int(info.is_thing), "color": list(info.color)}
        for value, info in zip(values, spec.classes, strict=True)
    ]


def _areas(ids: np.ndarray, classes: list[int], size: Sequence[int], where: str, count: int) -> np.ndarray:
    """Pixels of each segment; refuses what a reader would refuse."""
    fix = "write segments 1..S at the picture's size, each with a pixel and a class"
    if ids.shape != tuple(size):
        raise DataError(f"{where}: segments of size {ids.shape}, the picture is {tuple(size)} (height, width)", fix=fix)
    if ids.size and int(ids.min()) < 0:
        raise DataError(f"{where}, segment {int(ids.min())}: ids begin with 0, which is void", fix=fix)
    areas = np.bincount(ids.ravel(), minlength=len(classes) + 1)[1:]
    if len(areas) > len(classes):
        raise DataError(f"{where}, segment {len(areas)}: it is in the map and has no class; there are {len(classes)}", fix=fix)
    for place, (area, class_id) in enumerate(zip(areas.tolist(), classes, strict=True), 1):
        if not area:
            raise DataError(f"{where}, segment {place}: it has no pixel", fix=fix)
        if not 0 <= class_id < count:
            raise DataError(f"{where}, segment {place}: there is no class {class_id}; there are {count}", fix=fix)
    return areas


def _text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
