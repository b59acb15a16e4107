"""Weights of the classes, as a config gives them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segexp.errors import ConfigError
from segexp.types import DataSpec


def class_weights_of(data: DataSpec, given: Sequence[float] | None) -> Tensor | None:
    """One weight per class as float32 [K]; None where all are 1.

    Raises:
        ConfigError: not one for each class.
    """
    if given is None:
        return None
    if len(given) != data.num_classes:
        what = f"{len(given)} class weights for {data.num_classes} classes"
        raise ConfigError(what, where="loss.class_weights", fix=f"give one for each of {', '.join(data.names)}")
    return torch.tensor(given, dtype=torch.float32)
