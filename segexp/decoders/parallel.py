"""Several decoders side by side on one backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from segexp.errors import ConfigError
from segexp.functional.parts import completed
from segexp.types import Features, FeatureSpec


class Parallel(nn.Module):
    """Decoders that share the backbone alone; what each emits as `semantic` becomes the level of the part's name.

    Args:
        features: what the backbone emits.
        parts: name -> a decoder that lacks only `features`.

    Raises:
        ConfigError: no part is given, or one that emits no level `semantic`.
        SegexpError: a part refuses what it is given; with the keys of that part.
    """

    parts: Any  # decoders are known by their contract, not by a base class

    def __init__(self, features: FeatureSpec, *, parts: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__()
        if not parts:
            raise ConfigError("it needs one decoder at least", where="decoder.parts", fix="decoder=dual_deeplab has two")
        made = completed("decoder", parts, features)
        for name, part in made.items():
            if "semantic" not in part.spec:
                what = f"{type(part).__name__} emits {', '.join(part.spec)}, not semantic"
                raise ConfigError(what, where=f"decoder.parts.{name}", fix="a decoder that emits it, such as deeplabv3plus")
        self.parts = nn.ModuleDict(made)
        self.spec: FeatureSpec = {name: part.spec["semantic"] for name, part in made.items()}

    def forward(self, features: Features) -> Features:
        return {name: part(features)["semantic"] for name, part in self.parts.items()}
