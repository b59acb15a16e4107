"""What Cityscapes' label files of one picture say of each other: label ids, instance ids, train ids, and the panoptic conversion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from segexp.data.coco_json import Annotations, Fault, read_annotations
from segexp.data.coco_splits import PanopticFiles
from segexp.data.labelled import Annotate, LabelledFiles, Place
from segexp.errors import DataError
from segexp.functional.images import read_labels
from segexp.functional.panoptic_png import INSTANCES, label_ids, read_ids
from segexp.types import DataSpec

KINDS = ("labelIds", "instanceIds", "labelTrainIds")
MOST = 4  # values that are named of one picture


class CityscapesFiles(LabelledFiles):
    """A split with what the data doctor asks for beside the samples; see `LabelledFiles`.

    Args:
        name, keys, place, annotate, id: as of `LabelledFiles`.
        conversion: where the panoptic JSON of the split lies, if there is one, and the classes of its categories.
        train_ids: by label id.
        things: label ids that have instances.
    """

    def __init__(
        self,
        name: str,
        keys: Sequence[str],
        place: Place,
        annotate: Annotate,
        *,
        id: Callable[[str], str],
        conversion: tuple[Path, DataSpec],
        train_ids: np.ndarray,
        things: frozenset[int],
    ) -> None:
        super().__init__(name, keys, place, annotate, id=id)
        self.conversion, self.train_ids, self.things = conversion, train_ids, things

    def related(self, index: int) -> tuple[Path, ...]:
        """The label files of a picture other than the one that is read, of kinds that the split has."""
        labels = self.paths(index)[1]
        if labels is None:
            return ()
        others = [labels.with_name(f"{self._start(labels)}{kind}.png") for kind in self._kinds]
        panoptic = self._panoptic
        png = [panoptic.masks / f"{self._id(index)}_gtFine_panoptic.png"] if panoptic else []
        return tuple(path for path in [*others, *png] if path != labels)

    def content(self, index: int) -> bytes:
        """What the panoptic JSON says of a picture."""
        place = self._place_of(index)
        return self._panoptic.content(place) if self._panoptic and place is not None else b""

    def file_faults(self) -> Iterator[Fault]:
        """What is wrong with the panoptic JSON as a whole."""
        panoptic, error = self._opened
        if error is not None:
            yield Fault("json-entry", error.what, (error.where,))
        if panoptic is None:
            return
        yield from panoptic.file_faults()
        known = {self._id(index) for index in range(len(self))}
        for number in sorted({panoptic.image_id(i) for i in range(len(panoptic))} - known):
            yield Fault("json-no-picture", f"image {number} of the JSON has no picture", (str(panoptic.found.path),))

    def faults(self, index: int) -> Iterator[Fault]:
        """All in which the label files of a picture contradict each other."""
        own = self.paths(index)[1]
        if own is None:
            return
        maps = {}
        for kind in self._kinds:
            path = own.with_name(f"{self._start(own)}{kind}.png")
            try:
                maps[kind] = path, read_labels(path).numpy()
            except DataError as error:
                if path != own:  # the doctor tells what is wrong with the one that is read
                    yield Fault("label-file", f"image {self._id(index)}: {error.what}", (str(path),))
        sizes = {kind: array.shape for kind, (_, array) in maps.items()}
        if len(set(sizes.values())) > 1:
            paths = tuple(str(path) for path, _ in maps.values())
            yield Fault("label-sizes", f"image {self._id(index)}: the label files differ in size: {sizes}", paths)
            return
        yield from self._against(index, maps)
        if "instanceIds" in maps:
            yield from self._numbers(index, *maps["instanceIds"])
            yield from self._converted(index, *maps["instanceIds"])

    def _against(self, index: int, maps: dict[str, tuple[Path, np.ndarray]]) -> Iterator[Fault]:
        if "labelIds" not in maps:
            return
        path, ids = maps["labelIds"]
        if "instanceIds" in maps:
            other, raw = maps["instanceIds"]
            yield from self._differ(index, raw, label_ids(raw), ids, (str(other), str(path)), "instance")
        if "labelTrainIds" in maps:
            other, raw = maps["labelTrainIds"]
            table = np.append(self.train_ids, 255)
            yield from self._differ(index, raw, raw, table[np.minimum(ids, len(table) - 1)], (str(other), str(path)), "train id")

    def _differ(
        self, index: int, raw: np.ndarray, means: np.ndarray, ids: np.ndarray, paths: tuple[str, ...], kind: str
    ) -> Iterator[Fault]:
        wrong = means != ids
        if wrong.any():
            pairs, pixels = np.unique(np.stack([raw[wrong], ids[wrong]]).astype(np.int64), axis=1, return_counts=True)
            for (value, other), count in list(zip(pairs.T.tolist(), pixels.tolist(), strict=True))[:MOST]:
                said = f"{'label' if kind == 'instance' else kind} {other} by labelIds"
                yield Fault("labels-disagree", f"image {self._id(index)}, {kind} {value}: {count} pixels of it are {said}", paths)

    def _numbers(self, index: int, path: Path, raw: np.ndarray) -> Iterator[Fault]:
        values = np.flatnonzero(np.bincount(raw.ravel()))
        for value, label in zip(values.tolist(), label_ids(values).tolist(), strict=True):
            if value >= INSTANCES and label not in self.things:
                what = f"label {label} has no instances"
                yield Fault("stuff-instance", f"image {self._id(index)}, instance {value}: {what}", (str(path),))

    def _converted(self, index: int, path: Path, raw: np.ndarray) -> Iterator[Fault]:
        panoptic, place = self._panoptic, self._place_of(index)
        if panoptic is None:
            return
        if place is None:
            yield Fault("unannotated", f"image {self._id(index)} isn't in the panoptic JSON", (str(panoptic.found.path),))
            return
        labels = panoptic.paths(place)[1]
        if labels is not None and not labels.is_file():
            yield Fault("label-file", f"image {self._id(index)}: the panoptic PNG is missing", (str(labels),))
            return
        found = list(panoptic.faults(place))
        yield from found
        if labels is None or found:  # a broken conversion needn't be told to differ as well
            return
        ids, classes = read_ids(labels), label_ids(raw)
        if ids.shape != raw.shape:
            what = f"image {self._id(index)}: instanceIds and the panoptic PNG differ in size"
            yield Fault("label-sizes", what, (str(path), str(labels)))
            return
        expected = np.where(np.append(self.train_ids, 255)[np.minimum(classes, len(self.train_ids))] < 255, raw, 0)
        wrong = ids != expected
        for value, count in list(zip(*(part.tolist() for part in np.unique(ids[wrong], return_counts=True)), strict=True))[:MOST]:
            what = f"{count} pixels of it in the panoptic PNG are something else in instanceIds; convert anew"
            yield Fault("labels-disagree", f"image {self._id(index)}, segment {value}: {what}", (str(labels), str(path)))

    @cached_property
    def _kinds(self) -> tuple[str, ...]:
        """Kinds of label files that the split has, by its first pictures."""
        few = [labels for index in range(min(len(self), 8)) if (labels := self.paths(index)[1]) is not None]
        return tuple(kind for kind in KINDS if any(path.with_name(f"{self._start(path)}{kind}.png").is_file() for path in few))

    @cached_property
    def _opened(self) -> tuple[PanopticFiles | None, DataError | None]:
        """The panoptic conversion, or why its JSON can't be used; neither where there is none."""
        path, spec = self.conversion
        if not path.is_file():
            return None, None
        try:
            return PanopticFiles(self.name, read_annotations(path), _unused, spec, path.with_suffix("")), None
        except DataError as error:
            return None, error

    @property
    def _panoptic(self) -> PanopticFiles | None:
        return self._opened[0]

    @cached_property
    def _places(self) -> dict[str, int]:
        panoptic = self._panoptic
        return {panoptic.image_id(i): i for i in range(len(panoptic))} if panoptic else {}

    def _place_of(self, index: int) -> int | None:
        return self._places.get(self._id(index))

    def _id(self, index: int) -> str:
        return self.naming(self.key(index))

    @staticmethod
    def _start(labels: Path) -> str:
        return labels.stem.rpartition("_")[0] + "_"


def _unused(found: Annotations, index: int) -> Path:
    return found.path
