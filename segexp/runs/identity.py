"""A run's identity: a hash of what decides its result, wherever and however fast it runs.

The rule is final: ids name folders that people keep. What is left out stands in `conf/identity.yaml`, nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segexp.config import conf_dir
from segexp.errors import ConfigError
from segexp.ranks.layout import ranks_of

ID_VERSION = 1  # of the rule; recorded in the manifest, and raised only if the rule itself must change
DIGITS = 12
SLUG_LENGTH = 60
SHARED = ("Identity", "Parallel", "FeaturePyramid")  # decoders of many models

_OUTSIDE = re.compile(r"\$\{\s*(oc\.env|hydra|now)\s*:")  # resolvers that look at the machine, the launch, the clock
_CLOCK = "the clock decides"
_ABSENT = object()  # what is left of a key that doesn't count


@dataclass(frozen=True)
class Rules:
    """What of a config doesn't count.

    Args:
        drop: dotted keys that are dropped with all below them.
        neutral: dotted key -> the value at which it is dropped.
    """

    drop: frozenset[str] = frozenset()
    neutral: Mapping[str, Any] = field(default_factory=dict)


def identity(config: DictConfig, rules: Rules | None = None) -> str:
    """The id of the run that a composed config describes: 12 hex digits.

    The config isn't changed, and neither environment, clock nor disk (but for the rules) is read.

    Args:
        config: the composed config, its interpolations kept.
        rules: what doesn't count; by default `conf/identity.yaml`.

    Raises:
        ConfigError: what counts depends on the clock, or an interpolation doesn't resolve.
        TypeError: a value isn't plain data.
    """
    rules = shipped_rules() if rules is None else rules
    return hashlib.sha256(canonical(_counted(config, rules)).encode("ascii")).hexdigest()[:DIGITS]


def counted_leaves(config: DictConfig) -> dict[str, Any]:
    """What decides a run's result, as dotted keys and values; a list is one value. Equal leaves mean equal identities."""
    return dict(_leaves(_counted(config, shipped_rules()), ""))


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, _join(key, name))
    else:
        yield key, value


def shipped_rules() -> Rules:
    """The rules of `conf/identity.yaml`."""
    return _read_rules(conf_dir() / "identity.yaml")


@cache
def _read_rules(path: Path) -> Rules:
    plain: Any = OmegaConf.to_container(OmegaConf.load(path))
    return Rules(frozenset(plain["sections"] + plain["drop"]), plain["neutral"])


def canonical(value: Any) -> str:
    """One text for one meaning: JSON in ASCII with sorted keys, where 1.0 is 1 and other floats are bare hexadecimal.

    Raises:
        TypeError: the value isn't plain data.
    """
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (str, Enum, Path)):
        return json.dumps(value.name if isinstance(value, Enum) else str(value))
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _canonical_float(value)
    if isinstance(value, Mapping):
        items = sorted((canonical(key), canonical(item)) for key, item in value.items())
        return "{" + ",".join(f"{key}:{item}" for key, item in items) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(canonical, value)) + "]"
    raise TypeError(f"a {type(value).__name__} has no place in a config: {value!r}")


def _canonical_float(value: Any) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return str(int(value)) if value.is_integer() else value.hex()


def _counted(config: DictConfig, rules: Rules) -> Any:
    """What counts of a config, resolved, as plain containers."""
    _register_symbols()
    copy = OmegaConf.create(_symbolic(OmegaConf.to_container(config, resolve=False), "", rules.drop))
    try:
        plain: Any = OmegaConf.to_container(copy, resolve=True)
    except OmegaConfBaseException as error:
        what = "a run's identity can't depend on the clock" if _CLOCK in str(error) else str(error).splitlines()[0]
        fix = "use ${now:...} only within paths, logger or hydra" if _CLOCK in str(error) else "correct the interpolation"
        raise ConfigError(what, where=error.full_key or "", fix=fix) from error
    loader = (plain.get("data") or {}).get("loader")
    if isinstance(loader, dict) and isinstance(loader.get("batch_size"), int):
        loader["batch_size"] *= math.prod(ranks_of(config))  # what a step sees counts, not on how many ranks it is
    counted = _pruned(plain, "", rules)
    return {} if counted is _ABSENT else counted


def _symbolic(value: Any, key: str, drop: frozenset[str], *, dropped: bool = False) -> Any:
    """A copy in which leaves that don't count are their own key as text, and resolvers of the outside are ours."""
    dropped = dropped or key in drop
    if isinstance(value, dict):
        return {name: _symbolic(item, _join(key, name), drop, dropped=dropped) for name, item in value.items()}
    if isinstance(value, list):
        return [_symbolic(item, _join(key, index), drop, dropped=dropped) for index, item in enumerate(value)]
    if dropped:
        return f"<{key}>"
    return _OUTSIDE.sub(r"${segexp.symbol:\1,", value) if isinstance(value, str) else value


def _register_symbols() -> None:
    # A resolver of our own, rather than a stand-in for the built-in ones: nothing global is changed, nothing to restore.
    if not OmegaConf.has_resolver("segexp.symbol"):
        OmegaConf.register_new_resolver("segexp.symbol", _symbol)


def _symbol(resolver: str, name: str = "", *_: Any) -> str:
    if resolver == "now":
        raise ValueError(_CLOCK)
    return f"${name}" if resolver == "oc.env" else f"${resolver}:{name}"


def _pruned(value: Any, key: str, rules: Rules) -> Any:
    """`value` without keys that are dropped, null, neutral, or emptied by this; list items keep their places."""
    if key in rules.drop or (key in rules.neutral and canonical(value) == canonical(rules.neutral[key])):
        return _ABSENT
    if isinstance(value, dict) and value:
        kept = {name: _pruned(item, _join(key, name), rules) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item is not _ABSENT} or _ABSENT
    if isinstance(value, list):
        items = [None if item is None else _pruned(item, _join(key, index), rules) for index, item in enumerate(value)]
        return [{} if item is _ABSENT else item for item in items]
    return _ABSENT if value is None else value


def _join(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)


def slug(config: DictConfig) -> str:
    """A readable name such as `shapes-deeplabv3plus-resnet18-s0`: data set, decoder, backbone, seed.

    Where many models share a decoder, their head stands in its place: `shapes-fcos-resnet18-s0`.

    It is read from the config alone, so that two spellings of one run have one folder.

    Returns:
        At most 60 characters of `a-z0-9._-`.
    """
    parts = [
        _kind(OmegaConf.select(config, "data._target_")),
        _model(config),
        OmegaConf.select(config, "backbone.name") or _kind(OmegaConf.select(config, "backbone._target_")),
    ]
    seed = OmegaConf.select(config, "seed")
    tail = "" if seed is None else _plain(f"s{seed}")
    text = "-".join(_plain(str(part)) for part in parts if part)
    text = text[: SLUG_LENGTH - len(tail) - 1].strip("-.")
    return "-".join(part for part in (text, tail) if part)[:SLUG_LENGTH] or "run"


def _model(config: DictConfig) -> str:
    """The word that says most of the model: its decoder's, or its head's."""
    decoder, head = (_kind(OmegaConf.select(config, f"{stage}._target_")) for stage in ("decoder", "head"))
    if decoder not in SHARED or not head:
        return decoder
    parts = OmegaConf.select(config, "head.parts")
    return "-".join(str(name) for name in parts) if parts else head.removesuffix("Head")


def _kind(target: str | None) -> str:
    return (target or "").rpartition(".")[2]


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-.")
