"""Detections in COCO's results form: a list of boxes, and a list of masks, as its evaluation reads them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from segexp.errors import DataError
from segexp.formats.coco_panoptic import Id, categories
from segexp.functional.files import write_atomic
from segexp.functional.run_lengths import encoded
from segexp.types import DataSpec, Prediction

KINDS = ("boxes", "masks")


class ResultsWriter:
    """Writes image after image, keeps no detection, and puts the files in place at the end, whole.

        with ResultsWriter(folder, spec, {"boxes", "masks"}) as writer:
            writer.add("000000000285", (640, 586), prediction)

    makes `boxes.json` [{image_id, category_id, bbox, score}], `masks.json` [{image_id, category_id, segmentation, score}] (two
    files: where a result has both, COCO's evaluation of masks takes the area of the box) and `images.json`, which says what the
    image ids and category ids stand for. Where an exception ends the block, there is none of them.

    An image id is that of the data set's own JSON; of a picture that isn't in one, the number that its name is, else one that is
    still free. Numbers are written in full, so that an evaluation of the files gives what one of the tensors does.

    Args:
        folder: made where it isn't there.
        spec: the classes; its `values` are the category ids.
        kinds: `boxes`, `masks` or both.
        image_ids: name of a picture -> image id of the data set's own JSON (`open(split).image_ids()`).
    """

    def __init__(self, folder: Path, spec: DataSpec, kinds: Iterable[str], *, image_ids: Mapping[str, Id] | None = None) -> None:
        self.folder, self.spec, self.kinds = folder, spec, [kind for kind in KINDS if kind in set(kinds)]
        self.values = spec.values or tuple(range(spec.num_classes))
        self.image_ids = image_ids or {}
        self.taken: dict[Id, str] = {}  # image id -> where it is from
        self.images: list[dict[str, Any]] = []
        self.spools: dict[str, IO[bytes]] = {}
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        for kind in self.kinds:
            spool: IO[bytes] = self.stack.enter_context(tempfile.TemporaryFile(dir=self.folder))
            self.spools[kind] = spool
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        spools, self.spools = self.spools, {}
        with self.stack:
            if kind is not None or not spools:
                return
            for name, spool in spools.items():
                write_atomic(self.folder / f"{name}.json", lambda file, spool=spool: _finish(file, spool))
            write_atomic(self.folder / "images.json", json.dumps(self._legend(), ensure_ascii=False, indent=1) + "\n")

    def add(self, name: str, size: Sequence[int], prediction: Prediction, *, file_name: str = "") -> None:
        """Write the detections of one image.

        Args:
            name: of the picture, without its ending.
            size: (height, width).
            prediction: with `labels`, `scores` and what the files are of.
            file_name: for `images.json`, where it is another than the name.

        Raises:
            DataError: an image twice.
        """
        if not self.spools:
            raise RuntimeError("a ResultsWriter writes within its `with` block only")
        number = self._number(name)
        image = {"id": number, "file_name": file_name or name, "height": int(size[0]), "width": int(size[1])}
        self.images.append(image)
        scores = prediction.scores.double().tolist()
        classes = [self.values[label] for label in prediction.labels.tolist()]
        for kind, spool in self.spools.items():
            entries = _boxes(prediction) if kind == "boxes" else _masks(prediction)
            for category, score, entry in zip(classes, scores, entries, strict=True):
                whole = {"image_id": number, "category_id": category} | entry | {"score": score}
                spool.write((",\n" if spool.tell() else "").encode() + json.dumps(whole).encode())

    def _number(self, name: str) -> Id:
        if name in self.image_ids:
            number, origin = self.image_ids[name], "data set"
            if number in self.taken:
                raise DataError(f"image {number} is written twice", where=str(self.folder), fix="give each picture its own id")
        elif name.isascii() and name.isdigit() and int(name) not in self.taken:
            number, origin = int(name), "file name"
        else:
            number, origin = len(self.taken) + 1, "running number"
            while number in self.taken:
                number += 1
        self.taken[number] = origin
        return number

    def _legend(self) -> dict[str, Any]:
        origins = list(self.taken.values())
        info = {"image ids from": {origin: origins.count(origin) for origin in dict.fromkeys(origins)}}
        info["category ids from"] = "data set" if self.spec.values else "class number"
        return {"info": info, "images": self.images, "categories": categories(self.spec)}


def _boxes(prediction: Prediction) -> list[dict[str, Any]]:
    boxes = prediction.boxes.double().cpu()
    boxes[:, 2:] -= boxes[:, :2]
    return [{"bbox": box} for box in boxes.tolist()]


def _masks(prediction: Prediction) -> list[dict[str, Any]]:
    return [{"segmentation": encoded(mask)} for mask in prediction.masks.cpu().numpy()]


def _finish(file: Any, spool: IO[bytes]) -> None:
    spool.seek(0)
    file.write(b"[")
    shutil.copyfileobj(spool, file)
    file.write(b"]\n")
