"""Stages that are made of named parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from segexp.errors import ConfigError, SegexpError


def completed(group: str, parts: Mapping[str, Callable[..., Any]], *args: Any) -> dict[str, Any]:
    """The parts of a stage, each completed with `args`.

    A part takes its keys for those of the whole stage: in what it says of them, the part's place is put in front.

    Args:
        group: of the stage: `head`, `loss`, ...
        parts: name -> a stage that lacks only `args`.
        args: what the stage itself is completed with.

    Raises:
        ConfigError: there is no part.
        SegexpError: a part refuses what it is given; with the keys of that part.
    """
    if not parts:
        raise ConfigError("it needs one part at least", where=f"{group}.parts", fix=f"{group}=semantic_roi has two")
    return {name: _made(group, name, make, args) for name, make in parts.items()}


def _made(group: str, name: str, make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return make(*args)
    except SegexpError as error:
        where, fix = (re.sub(rf"\b{group}\.", f"{group}.parts.{name}.", text) for text in (error.where, error.fix))
        raise type(error)(error.what, where=where, fix=fix) from error
