"""Monocular depth: a sixth task, of a user's package alone. Its kind of annotation is `depth`, float32 [1,H,W] in metres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchvision import tv_tensors

from segexp.functional.resize import to_size
from segexp.types import Batch, ClassInfo, DataSpec, Features, FeatureSpec, Prediction, Sizes, Targets
from segexp.wiring import require

FARTHEST = 10.0  # metres


class Hills:
    """Slopes: the brighter a pixel, the nearer."""

    splits = ("train", "val")
    spec = DataSpec((ClassInfo("slope"),), frozenset({"depth"}))

    def __init__(self, *, length: int = 8) -> None:
        self.length = length

    def open(self, split: str) -> HillsSplit:
        return HillsSplit(split, self.length)

    def fingerprint(self) -> str:
        return f"hills-1-{self.length}"


class HillsSplit:
    """Samples that are functions of their index."""

    def __init__(self, name: str, length: int) -> None:
        self.name, self.length = name, length

    def __len__(self) -> int:
        return self.length

    def id(self, index: int) -> str:
        return f"{self.name}/{index:02d}"

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = torch.Generator().manual_seed(2 * index + (self.name == "val"))
        y, x = torch.rand(2, generator=rng).tolist()
        rows, columns = torch.linspace(0, 1, 48)[:, None], torch.linspace(0, 1, 64)[None]
        depth = 1 + 8 * ((rows - y).abs() + (columns - x).abs())[None] / 2  # [1,H,W]
        image = (255 * (1 - depth / FARTHEST)).to(torch.uint8).expand(3, -1, -1).clone()
        meta = {"id": self.id(index), "size": (48, 64), "path": ""}
        return {"image": tv_tensors.Image(image), "depth": tv_tensors.Image(depth), "meta": meta}


@dataclass
class DepthMap:
    """What the head emits."""

    depth: Tensor  # [B,1,h,w] metres
    stride: int


class DepthHead(nn.Module):
    """A 1x1 convolution on the level `semantic`."""

    output_type = DepthMap
    needs: frozenset[str] = frozenset()

    def __init__(self, features: FeatureSpec, data: DataSpec) -> None:
        super().__init__()
        require(features, "semantic", by="DepthHead")
        self.stride = features["semantic"].stride
        self.last = nn.Conv2d(features["semantic"].channels, 1, 1)

    def forward(self, features: Features, sizes: Sizes, targets: list[Targets] | None = None) -> DepthMap:
        return DepthMap(self.last(features["semantic"]).sigmoid() * FARTHEST, self.stride)


class DepthLoss(nn.Module):
    """Mean absolute error in metres."""

    accepts = DepthMap
    needs = frozenset({"depth"})

    def __init__(self, data: DataSpec) -> None:
        super().__init__()

    def forward(self, output: DepthMap, batch: Batch) -> dict[str, Tensor]:
        errors = []
        for i, target in enumerate(batch.targets):
            real = target.extra["depth"]
            errors.append((to_size(output.depth[i : i + 1].float(), output.stride, tuple(real.shape[-2:]))[0] - real).abs().sum())
        return {"depth": torch.stack(errors).sum()}

    def count(self, targets: list[Targets]) -> dict[str, float]:
        return {"depth": float(sum(target.extra["depth"].numel() for target in targets))}

    def examples(self, size: tuple[int, ...]) -> dict[str, Tensor]:
        return {"depth": torch.ones(1, *size)}


class DepthAtSize:
    """Depth at the original size."""

    accepts = DepthMap
    provides = frozenset({"depth"})

    def __init__(self, data: DataSpec) -> None:
        pass

    def __call__(self, output: DepthMap, sizes: Sizes, original_sizes: Sizes) -> list[Prediction]:
        maps = [
            to_size(output.depth[i : i + 1].float(), output.stride, s, o)[0]
            for i, (s, o) in enumerate(zip(sizes, original_sizes, strict=True))
        ]
        return [Prediction(extra={"depth": x}) for x in maps]


class DepthError(Metric):
    """`depth_mae`, in metres, of the data set's pixels."""

    needs = frozenset({"depth"})
    full_state_update = False
    higher_is_better = False

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.add_state("error", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("pixels", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def measure(self, prediction: Prediction, truth: Targets) -> dict[str, Tensor]:
        apart = (prediction.extra["depth"] - truth.extra["depth"]).abs()
        return {"error": apart.double().sum(), "pixels": torch.tensor(float(apart.numel()), dtype=torch.float64)}

    def update(self, records: list[dict[str, Tensor]]) -> None:
        for record in records:
            self.error, self.pixels = self.error + record["error"], self.pixels + record["pixels"]

    def compute(self) -> dict[str, Tensor]:
        return {"depth_mae": self.error / self.pixels}
