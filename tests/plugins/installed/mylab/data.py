"""Bright discs on a dark ground: a data set for tests of a user's package."""

from __future__ import annotations

from typing import Any

import torch
from torchvision import tv_tensors

from segexp.errors import ConfigError
from segexp.types import ClassInfo, DataSpec


class Dots:
    """Ground and one disc in each picture; its rim has no label.

    Args:
        size: side of the square pictures, in pixels.
        length: samples of each split.
    """

    splits = ("train", "val")
    spec = DataSpec((ClassInfo("ground"), ClassInfo("dot", True, (250, 200, 0))), frozenset({"semantic"}))

    def __init__(self, *, size: int = 64, length: int = 24) -> None:
        self.size, self.length = size, length

    def open(self, split: str) -> DotsSplit:
        """A split's samples.

        Raises:
            ConfigError: there is no such split.
        """
        if split not in self.splits:
            raise ConfigError(f"dots have no split {split!r}", where="data.split", fix="data.split=train|val")
        return DotsSplit(self, split)

    def fingerprint(self) -> str:
        return f"dots-1-{self.size}-{self.length}"


class DotsSplit:
    """Samples that are functions of their index."""

    def __init__(self, data: Dots, name: str) -> None:
        self.data, self.name = data, name

    def __len__(self) -> int:
        return self.data.length

    def id(self, index: int) -> str:
        return f"{self.name}/{index:03d}"

    def __getitem__(self, index: int) -> dict[str, Any]:
        side = self.data.size
        rng = torch.Generator().manual_seed(2 * index + (self.name == "val"))
        y, x, radius = (torch.rand(3, generator=rng) * torch.tensor([side, side, side / 4]) + side / 8).tolist()
        rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        distance = ((rows - y) ** 2 + (columns - x) ** 2).sqrt()  # [H,W]
        labels = (distance < radius).to(torch.uint8)
        labels[(distance - radius).abs() < 1] = self.data.spec.ignore_index
        image = torch.where(distance < radius, 200, 40).to(torch.uint8).expand(3, side, side).clone()
        meta = {"id": self.id(index), "size": (side, side), "path": ""}
        return {"image": tv_tensors.Image(image), "semantic": tv_tensors.Mask(labels), "meta": meta}
