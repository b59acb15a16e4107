"""Who set a key: the override, or the file and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segexp.errors import SegexpError


def places(keys: Mapping[str, Any], overrides: Sequence[str], primary: str = "train") -> dict[str, str]:
    """Where each key was set, as `lr=3` of an override, or `conf/optimizer/adamw.yaml:4 (lr: 3)`; empty where nobody knows.

    Args:
        keys: dotted, with the value that each has; of one that isn't there (None), the section around it is looked up, and
            of a group who chose its option.
        overrides: what the config was composed of.
        primary: its primary config's name.
    """
    from segexp.blame import explain

    try:
        origins, chosen = explain(primary, overrides)
    except SegexpError:  # it is said elsewhere that it doesn't compose
        return dict.fromkeys(keys, "")
    return {key: _place(key, value, origins, chosen) for key, value in keys.items()}


def _place(key: str, value: Any, origins: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    name = key.partition("[")[0]
    if name in origins:
        origin = origins[name]
        if value is not None and origin.value != value and "${" not in str(origin.value) and name == key:
            return ""  # set by a program, after it was composed
        return _shown(origin, f"{key}: {origin.value}")
    while name:
        if name in chosen:
            return _shown(chosen[name], f"{name}: {chosen[name].value}")
        below = [other for other in origins if other.startswith(f"{name}.")]
        if below:
            own = f"{name}._target_"
            return _shown(origins[own if own in below else below[0]], name)
        name = name.rpartition(".")[0]
    return ""


def _shown(origin: Any, said: str) -> str:
    return origin.place.override or f"{origin.place} ({said})"
