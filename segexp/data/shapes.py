"""Synthetic street scenes made on the fly: a data set without files that serves all five tasks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors

from segexp.data import shapes_render as brush
from segexp.errors import ConfigError
from segexp.functional.keys import key
from segexp.functional.segments import compact
from segexp.types import ClassInfo, DataSpec

VERSION = 1  # of the generator: a change of the pictures raises it, and with it the fingerprint
SMALLEST = 16  # pixels a side
CLASSES = (
    ClassInfo("sky", False, (70, 130, 180)),
    ClassInfo("building", False, (105, 95, 90)),
    ClassInfo("vegetation", False, (107, 142, 35)),
    ClassInfo("road", False, (128, 64, 128)),
    ClassInfo("sidewalk", False, (244, 35, 232)),
    ClassInfo("car", True, (0, 0, 142)),
    ClassInfo("person", True, (220, 20, 60)),
    ClassInfo("sign", True, (220, 220, 0)),
)
NAMES = tuple(c.name for c in CLASSES)


def render(rng: np.random.Generator, size: tuple[int, int], classes: Sequence[str], difficulty: float) -> tuple[np.ndarray, brush.Canvas]:
    """Paint one scene; the layout of stuff doesn't depend on which classes are painted.

    Args:
        rng: all that is random.
        size: (height, width) of the picture.
        classes: names of the classes to paint.
        difficulty: 0..1.

    Returns:
        The picture uint8 [3,H,W], and the canvas with its segments, some of which may have no pixel left.
    """
    street = brush.Street.draw(rng, size)
    canvas = brush.Canvas(rng, size, classes, mixing=0.5 * difficulty)
    light = (rng.random((3, 1, 1), np.float32) * 0.12 + 0.94) * brush.between(rng, 0.7, 1.15)
    grain = brush.noise(rng, (3, *size)) * (4 + 24 * difficulty)
    for layer in (brush.sky, brush.ground, brush.buildings, brush.sidewalk, brush.road):
        layer(canvas, street, rng)
    _objects(canvas, street, rng, difficulty)
    image = canvas.color * canvas.shade * light + grain
    return np.clip(image, 0, 255).astype(np.uint8), canvas


def _objects(canvas: brush.Canvas, street: brush.Street, rng: np.random.Generator, difficulty: float) -> None:
    """Trees, perhaps a crowd, and at least one thing, far ones first; perhaps the own bonnet."""
    todo = [brush.hood(canvas, street, rng), *(brush.tree(canvas, street, rng) for _ in range(rng.integers(1, 4)))]
    far = [brush.between(rng, 0.34, 0.58) for _ in range(int(brush.between(rng, 1, 3.5 + 5 * difficulty)))]
    near = brush.between(rng, 0.62, 0.9)  # one thing that nothing but the bonnet can hide
    crowded, outlined = rng.random() < 0.35, rng.random() < 0.4
    kinds = [name for name in brush.THINGS if name in canvas.classes]
    for depth in (*far, near) if kinds else ():
        todo.append((depth, partial(brush.thing, canvas, street, rng, kinds[rng.integers(len(kinds))], depth, outlined)))
    if crowded and "person" in kinds:
        todo.append((0.2, partial(brush.crowd, canvas, street, rng)))
    for _, paint in sorted(todo, key=lambda job: job[0]):
        paint()


class Split:
    """One split of `Shapes`. A sample is a function of (seed, split, index) alone and is painted anew at each access."""

    def __init__(self, data: Shapes, name: str) -> None:
        self.data, self.name = data, name

    def __len__(self) -> int:
        return self.data.lengths[self.name]

    def id(self, index: int) -> str:
        """The name of a sample, e.g. `train/000017`."""
        return f"{self.name}/{index:06d}"

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Paint one sample.

        Returns:
            `image` uint8 [3,H,W]; `segments` int32 [H,W], 0 = void; `segment_labels` int64 [N]; `segment_crowd` bool [N];
            `meta` {id, size, path}.

        Raises:
            IndexError: no such sample.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)} in split {self.name}")
        data = self.data
        rng = np.random.Generator(np.random.PCG64(key(data.seed, "shapes", self.name, index)))
        image, canvas = render(rng, data.size, data.spec.names, data.difficulty)
        labels = torch.tensor([data.spec.names.index(name) for name in canvas.names], dtype=torch.int64)  # [N]
        crowd = torch.tensor(canvas.crowd, dtype=torch.bool)  # [N]
        segments, labels, crowd = compact(torch.from_numpy(canvas.segments.copy()), labels, crowd)
        return {
            "image": tv_tensors.Image(torch.from_numpy(image)),
            "segments": tv_tensors.Mask(segments),
            "segment_labels": labels,
            "segment_crowd": crowd,
            "meta": {"id": self.id(index), "size": data.size, "path": ""},
        }


class Shapes:
    """Streets with sky, buildings, vegetation, road, sidewalk, cars, people and signs, with crowds and void.

    Args:
        height: of every image, in pixels.
        width: of every image, in pixels.
        train: samples of the split `train`.
        val: samples of the split `val`.
        test: samples of the split `test`.
        seed: another seed is another data set.
        classes: names in the order of their ids; one left out isn't painted, so that what is behind it shows.
        difficulty: 0..1; noise, colours shared between classes, and the number of things grow with it.

    Raises:
        ConfigError: a key is out of its range, or a class doesn't exist.
    """

    splits = ("train", "val", "test")

    def __init__(
        self,
        *,
        height: int = 96,
        width: int = 128,
        train: int = 512,
        val: int = 64,
        test: int = 64,
        seed: int = 0,
        classes: Sequence[str] = NAMES,
        difficulty: float = 0.5,
    ) -> None:
        _check_numbers({"height": height, "width": width}, SMALLEST)
        _check_numbers({"train": train, "val": val, "test": test}, 1)
        if not 0 <= difficulty <= 1:
            raise ConfigError(
                "difficulty must lie in 0..1", where=f"data.difficulty={difficulty}", fix="data.difficulty=0.5 is the default"
            )
        self.size, self.seed, self.difficulty = (height, width), seed, float(difficulty)
        self.lengths = dict(zip(self.splits, (train, val, test), strict=True))
        self.spec = DataSpec(_chosen(classes), provides=frozenset({"segments"}))

    def open(self, split: str) -> Split:
        """The samples of a split.

        Raises:
            ConfigError: no such split.
        """
        if split not in self.splits:
            raise ConfigError(f"shapes has no split {split!r}", where="data.split", fix=f"one of {', '.join(self.splits)}")
        return Split(self, split)

    def fingerprint(self) -> str:
        """SHA-256 of everything that determines the pictures: the keys and the version of the generator."""
        content = [VERSION, self.size, self.lengths, self.seed, self.spec.names, self.difficulty]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _check_numbers(given: dict[str, int], least: int) -> None:
    for name, value in given.items():
        if value < least:
            raise ConfigError(f"{name} must be at least {least}", where=f"data.{name}={value}", fix=f"data.{name}={least} or more")


def _chosen(names: Sequence[str]) -> tuple[ClassInfo, ...]:
    """The classes of these names, in their order."""
    known = {c.name: c for c in CLASSES}
    where = f"data.classes=[{','.join(names)}]"
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"shapes has no class {', '.join(unknown)}", where=where, fix=f"any of {', '.join(NAMES)}")
    if len(set(names)) < len(names):
        raise ConfigError("a class of shapes is named twice", where=where, fix="name each class once")
    chosen = tuple(known[name] for name in names)
    if all(c.is_thing for c in chosen):
        stuff = ", ".join(c.name for c in CLASSES if not c.is_thing)
        raise ConfigError("shapes needs at least one stuff class", where=where, fix=f"add any of {stuff}")
    return chosen
