"""Pictures of an evaluation: image, truth, prediction, error, side by side."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.io import write_png
from torchvision.transforms.v2 import functional as F

from segexp.callbacks.evaluation import EvaluationCallback, RunInfo
from segexp.task import Evaluated, Task
from segexp.types import Batch, Prediction, Size, Targets
from segexp.visualize.paint import error_map, paint, panel


class Panels(EvaluationCallback):
    """Write the first pictures of each evaluation as `images/<sample id with / as __>.png`; a later one replaces them.

    Args:
        run: the run.
        count: pictures of each evaluation.
    """

    def __init__(self, run: RunInfo, *, count: int = 8) -> None:
        self.folder, self.count, self.done = run.folder / "images", count, 0

    def start(self, split: str) -> None:
        self.done = 0

    def batch(self, split: str, task: Task, outputs: Evaluated, batch: Batch) -> None:
        for i in range(min(len(batch.ids), self.count - self.done)):
            height, width = batch.sizes[i]
            image = visible(batch.images[i, :, :height, :width], batch.original_sizes[i])
            self.folder.mkdir(parents=True, exist_ok=True)
            picture = panel(pictures(image, batch.truth[i], outputs.predictions[i], task))
            write_png(picture, str(self.folder / f"{batch.ids[i].replace('/', '__')}.png"))
            self.done += 1


def visible(image: Tensor, size: Size) -> Tensor:
    """A float image [C,h,w] in [0, 1] as uint8 RGB [3,H,W] of `size`; of other channel counts the first, as grey."""
    rgb = image if image.shape[0] == 3 else image[:1].expand(3, -1, -1)
    return F.resize((rgb.cpu() * 255).round().to(torch.uint8), list(size), antialias=True)


def pictures(image: Tensor, truth: Targets, prediction: Prediction, task: Task) -> dict[str, Tensor]:
    """The columns of a panel."""
    found = {"image": image, "truth": paint(image, truth, task.data), "prediction": paint(image, prediction, task.data)}
    return found | {"error": error_map(truth, prediction, task.data, image)}
