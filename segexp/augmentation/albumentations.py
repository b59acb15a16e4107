"""Transforms of albumentations as a step, named in a config; an extra: pip install 'segexp[albumentations]'."""

from __future__ import annotations

import difflib
import inspect
import os
import random
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from segexp.errors import ConfigError
from segexp.functional.windows import tidy

PLACE = "augmentation, Albumentations"
OURS = {"mask_interpolation": "labels are taken from the nearest pixel", "fill_mask": "what has no label is ignored"}
WIDE = 65535  # the greatest value of a 16-bit image


class Albumentations:
    """A chain of albumentations' transforms on image and label maps.

    What a sample becomes depends on the step's generator alone, that is, on (seed, epoch, index). Where a transform shows
    what lies beyond the picture, or drops a region of the masks, labels are ignored there.

    Args:
        transforms: in order, each `{name: <class>, <its arguments>}`, e.g. `{name: GridDistortion, p: 0.3}`; compositions
            such as `OneOf` have a list `transforms` of the same kind.
    """

    def __init__(self, *, transforms: Sequence[Mapping[str, Any]]) -> None:
        library = _library()
        self.moves = _moves(library, made := _chain(library, transforms))
        self.compose = library.Compose(made, additional_targets={"semantic": "mask", "segments": "mask"})

    def __call__(self, sample: dict[str, Any], rng: torch.Generator) -> dict[str, Any]:
        """Transform one sample.

        Raises:
            ConfigError: a transform fails, or moves pixels of a sample that has only boxes, or changes the image's type.
        """
        if self.moves and "boxes" in sample and not {"masks", "segments", "semantic"} & set(sample):
            what = f"{', '.join(self.moves)} move pixels, and boxes can't follow"
            raise ConfigError(what, where=_at(sample), fix="leave them out, or use a data set with masks")
        seed = rng.initial_seed()
        self.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        given = _encode(sample)
        try:
            found = self.compose(**given)
        except Exception as error:  # the transforms of a library fail in many ways
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError(what, where=_at(sample), fix="change augmentation.steps, or leave out the transform") from error
        if not isinstance(found["image"], np.ndarray) or found["image"].dtype != given["image"].dtype:
            what = f"the image became {getattr(found['image'], 'dtype', type(found['image']).__name__)}"
            raise ConfigError(what, where=_at(sample), fix="leave out normalisation and conversion: the backbone does that")
        return _decode(sample, found)


def _library() -> ModuleType:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks a server at import otherwise
    try:
        import albumentations
        import cv2
    except ImportError as error:
        raise ConfigError(f"albumentations can't be imported: {error}", where=PLACE, fix="pip install 'segexp[albumentations]'") from None
    cv2.setNumThreads(0)  # its threads don't outlive the fork of a loader's worker, and would compete with torch's
    return albumentations


def _chain(library: ModuleType, described: Any) -> list[Any]:
    if not isinstance(described, Sequence) or isinstance(described, str) or not described:
        raise ConfigError(f"transforms: {described!r}", where=PLACE, fix="a list, e.g. [{name: GridDistortion, p: 0.3}]")
    return [_transform(library, each) for each in described]


def _transform(library: ModuleType, described: Any) -> Any:
    """One transform, or a composition of some, from its name and arguments."""
    if not isinstance(described, Mapping) or "name" not in described:
        raise ConfigError(f"a transform is {described!r}", where=PLACE, fix="{name: <class of albumentations>, <its arguments>}")
    name, arguments = described["name"], {key: value for key, value in described.items() if key != "name"}
    known = _classes(library)
    if name not in known:
        near = difflib.get_close_matches(str(name), known)
        fix = f"did you mean {', '.join(near)}" if near else "name one of its transforms of pictures"
        raise ConfigError(f"albumentations {library.__version__} has no transform {name!r}", where=PLACE, fix=fix)
    for key in OURS.keys() & arguments.keys():
        raise ConfigError(f"{key} of {name} can't be set: {OURS[key]}", where=PLACE, fix=f"leave out {key}")
    if "transforms" in arguments:
        arguments["transforms"] = _chain(library, arguments["transforms"])
    elif issubclass(known[name], library.BasicTransform):
        arguments["strict"] = True  # an argument that it doesn't know is an error, not a warning
    try:
        return known[name](**arguments)
    except Exception as error:
        what = f"{name} can't be made from these arguments: {' '.join(str(error).split())}"
        raise ConfigError(what, where=PLACE, fix=f"it takes {', '.join(_arguments(known[name]))}") from error


def _classes(library: ModuleType) -> dict[str, type]:
    """The transforms of pictures, and their compositions but the outermost."""
    kinds, left_out = (library.ImageOnlyTransform, library.DualTransform, library.BaseCompose), (library.Compose, library.Transform3D)
    return {
        name: found
        for name, found in vars(library).items()
        if inspect.isclass(found) and issubclass(found, kinds) and found not in kinds and not issubclass(found, left_out)
    }


def _arguments(kind: type) -> list[str]:
    return [name for name in inspect.signature(kind).parameters if name not in ("self", "strict", *OURS)]


def _moves(library: ModuleType, made: Sequence[Any]) -> list[str]:
    """The names of those that move pixels."""
    names = []
    for each in made:
        if hasattr(each, "transforms"):
            names += _moves(library, each.transforms)
        elif not isinstance(each, library.ImageOnlyTransform):
            names.append(type(each).__name__)
    return names


def _encode(sample: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a sample, [H,W,C] and [H,W], of types that OpenCV takes; 0 in all label maps means that there is none."""
    image = sample["image"].as_subclass(Tensor).permute(1, 2, 0).contiguous().numpy()
    out = {"image": image if image.dtype == np.uint8 else image.astype(np.float32) / WIDE}
    if "semantic" in sample:
        out["semantic"] = sample["semantic"].as_subclass(Tensor).numpy() + np.uint8(1)  # 255, ignored, becomes 0
    if "segments" in sample:
        out["segments"] = sample["segments"].as_subclass(Tensor).numpy().astype(np.float32)  # exact to 2^24
    if len(sample.get("masks", ())):
        out["masks"] = sample["masks"].as_subclass(Tensor).numpy().astype(np.uint8)
    return out


def _decode(sample: Mapping[str, Any], found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The sample with what `_encode` gave, transformed; what has left the picture is dropped."""
    out, image = dict(sample), found["image"]
    if image.dtype == np.float32:
        image = (image.clip(0, 1) * WIDE).round().astype(np.int32)
    size = image.shape[:2]
    out["image"] = tv_tensors.Image(_tensor(image.reshape(*size, -1)).permute(2, 0, 1).contiguous())
    if "semantic" in sample:
        out["semantic"] = tv_tensors.Mask(_tensor(found["semantic"]) - 1)
    if "segments" in sample:
        out["segments"] = tv_tensors.Mask(_tensor(found["segments"].astype(np.int32)))
    if "masks" in sample:
        masks = _tensor(found["masks"]) if "masks" in found else torch.zeros(0, *size)
        out["masks"] = tv_tensors.Mask(masks.bool())
    return tidy(out)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _at(sample: Mapping[str, Any]) -> str:
    return f"{PLACE}, sample {sample.get('meta', {}).get('id', '?')}"
