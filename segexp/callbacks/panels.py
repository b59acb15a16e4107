"""Pictures of an evaluation: image, truth, prediction, error, side by side; the first ones, the worst and the best."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from torch import Tensor
from torchvision.io import write_png
from torchvision.transforms.v2 import functional as F

from segexp.callbacks.evaluation import EvaluationCallback, RunInfo
from segexp.functional import ranks
from segexp.functional.files import read_json, write_json
from segexp.functional.quality import image_quality
from segexp.task import Evaluated, Task
from segexp.types import Batch, Prediction, Targets, map_tensors
from segexp.visualize.compare import comparison
from segexp.visualize.panel import panel
from segexp.visualize.visible import visible

INDEX = "index.json"


@dataclass(frozen=True)
class Shot:
    """One evaluated image, kept until the end of the evaluation."""

    place: int  # in the data set
    id: str
    image: Tensor  # uint8 [3,H,W]
    truth: Targets
    prediction: Prediction

    @property
    def file(self) -> str:
        """The name of its picture."""
        return f"{self.id.replace('/', '__')}.png"


class Panels(EvaluationCallback):
    """Write pictures of each evaluation as `images/<sample id with / as __>.png`, in place of those of the one before.

    `images/index.json` says which are there and why: {split: {"first": [file], "worst": [...], "best": [...]}}, the worst
    and the best by the quality of the single image (`segexp.functional.quality.JUDGES`: PQ, F1 of objects, mean IoU, score of the
    true class, F1 of classes); the most extreme first, equals in the order of the data set.

    Args:
        run: the run.
        count: the first pictures of each evaluation.
        worst: so many of the lowest quality; no more than these are kept in memory.
        best: so many with the highest.
    """

    def __init__(self, run: RunInfo, *, count: int = 4, worst: int = 4, best: int = 4) -> None:
        self.folder, self.count = run.folder / "images", count
        self.sizes = {"worst": worst, "best": best}
        self.start("")

    def start(self, split: str) -> None:
        self.seen, self.data = 0, None
        self.first: list[Shot] = []
        self.ranked: dict[str, list[tuple[float, int, Shot]]] = {name: [] for name in self.sizes}  # heaps, the least extreme on top

    def batch(self, split: str, task: Task, outputs: Evaluated, batch: Batch) -> None:
        self.data = task.data
        for i, record in enumerate(outputs.records):
            self._consider(i, self.seen * ranks.world() + ranks.rank(), quality(record), outputs, batch)
            self.seen += 1

    def _consider(self, i: int, place: int, score: float | None, outputs: Evaluated, batch: Batch) -> None:
        """Keep image i of a batch, in that place of the data set, if it is one of the first, the worst or the best so far."""
        marks = {} if score is None else {"worst": (-score, -place), "best": (score, -place)}
        wanted = [name for name, mark in marks.items() if self._makes_it(name, mark)]
        if not wanted and place >= self.count:
            return
        taken = shot(i, place, outputs, batch)
        if place < self.count:
            self.first.append(taken)
        for name in wanted:
            push = heapq.heappushpop if len(self.ranked[name]) == self.sizes[name] else heapq.heappush
            push(self.ranked[name], (*marks[name], taken))

    def _makes_it(self, name: str, mark: tuple[float, int]) -> bool:
        heap, size = self.ranked[name], self.sizes[name]
        return size > 0 and (len(heap) < size or mark > heap[0][:2])

    def end(self, split: str) -> None:
        """Paint and write what was kept, and remove the pictures of the evaluation before."""
        groups = self._of_all()
        shots = {s.file: s for group in groups.values() for s in group}
        if self.data is None or ranks.rank():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        index = read_json(self.folder / INDEX) if (self.folder / INDEX).exists() else {}
        mine = {name: [s.file for s in group] for name, group in groups.items()}
        others = {file for name, group in index.items() if name != split for files in group.values() for file in files}
        for file in {file for files in index.get(split, {}).values() for file in files} - shots.keys() - others:
            (self.folder / file).unlink(missing_ok=True)
        for file, kept in shots.items():
            pictures, legend = comparison(kept.image, kept.truth, kept.prediction, self.data)
            write_png(panel(pictures, legend), str(self.folder / file), compression_level=3)
        write_json(self.folder / INDEX, index | {split: mine})
        self.start("")

    def _of_all(self) -> dict[str, list[Shot]]:
        """The pictures of all ranks, on rank 0; each rank has kept enough of its own."""
        parts = ranks.gathered((self.first, self.ranked))
        found = {"first": sorted((s for first, _ in parts for s in first), key=lambda s: s.place)}
        for name, size in self.sizes.items():
            found[name] = _in_order([entry for _, ranked in parts for entry in ranked[name]])[:size]
        return found


def quality(record: dict[str, dict[str, Tensor]]) -> float | None:
    """How good the prediction of one image is, by the first of `segexp.functional.quality.JUDGES` that has its record."""
    found = image_quality({metric: {name: x.tolist() for name, x in fields.items()} for metric, fields in record.items()})
    return None if found is None else found[1]


def _in_order(heap: list[tuple[float, int, Shot]]) -> list[Shot]:
    """The most extreme first, of equals the first of the data set."""
    return [kept for *_, kept in sorted(heap, key=lambda entry: entry[:2], reverse=True)]


def shot(i: int, place: int, outputs: Evaluated, batch: Batch) -> Shot:
    """Image i of a batch at its original size, on the CPU."""
    height, width = batch.sizes[i]
    seen = visible(batch.images[i, :, :height, :width].cpu())
    image = F.resize(seen, list(batch.original_sizes[i]), antialias=True)
    truth, prediction = (map_tensors(x, Tensor.cpu) for x in (batch.truth[i], outputs.predictions[i]))
    return Shot(place, batch.ids[i], image, truth, prediction)
