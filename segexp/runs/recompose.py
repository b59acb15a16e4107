"""The config of a trained run with a few things changed, for an evaluation.

The stored config is the truth: it is never composed anew from the config tree of today, which may have moved on. An
override of a group takes that group's node alone from the tree; an override of a key changes the stored value.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from segexp.catalogue import Catalogue, catalogue, descend, did_you_mean, explained, suggest
from segexp.config import compose, resolve, session
from segexp.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

SWAPPABLE = ("data", "augmentation", "postprocess", "protocol", "metrics", "trainer", "paths")
EMPTY = {"protocol": "whole"}  # options of those groups that are no node at all
TRAINED = ("backbone", "decoder", "head", "fusion", "loss", "task", "model", "experiment", "optimizer", "scheduler")

_PRIMARY = "train"
_UNUSED = "logger"  # an evaluation logs nowhere; what a logger takes from the environment may be absent here


def recompose(config_yaml: Path, overrides: Sequence[str]) -> DictConfig:
    """The stored config with overrides applied.

    Args:
        config_yaml: a run's `config.yaml`, its interpolations kept.
        overrides: as on the command line: options of `SWAPPABLE` groups, keys that exist, `+key` for new ones.

    Returns:
        The config in struct mode, its interpolations kept; all of them resolve.

    Raises:
        ConfigError: the file can't be read, or an override isn't allowed, names what doesn't exist, or doesn't resolve.
    """
    config = _stored(config_yaml)
    with session():
        known = catalogue(_PRIMARY, overrides)
        swaps, values = _parsed(known, [line for line in overrides if line not in known.searchpath])
        for override in swaps:
            _swap(config, override, known.searchpath)
    for override in values:
        _set(config, override)
    resolve(OmegaConf.masked_copy(config, [str(key) for key in config if key != _UNUSED]))
    return config


def _stored(config_yaml: Path) -> DictConfig:
    try:
        _require_flat(config_yaml)
        config = OmegaConf.load(config_yaml)
    except (OSError, UnicodeDecodeError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"the stored config can't be read: {said}", where=str(config_yaml), fix="give another run") from error
    if not isinstance(config, DictConfig) or not config:
        raise ConfigError("the stored config is empty", where=str(config_yaml), fix="give another run")
    OmegaConf.set_struct(config, True)
    return config


def _require_flat(config_yaml: Path) -> None:
    """Refuse aliases: a stored config has none, and a few of them that name each other unfold to more than the memory holds."""
    with config_yaml.open(encoding="utf-8") as file:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(file, yaml.SafeLoader)):
            raise YAMLError("it has aliases, which no run writes")


def _parsed(known: Catalogue, overrides: Sequence[str]) -> tuple[list[Override], list[Override]]:
    """The overrides that choose an option of a group, and those that set the value of a key."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    with explained():
        parsed = OverridesParser.create(known.loader).parse_overrides(list(overrides))
    for override in parsed:
        line = override.input_line or ""
        if override.is_sweep_override():
            fix = "give one value; write [a,b] for a list, or quote text that has a comma"
            raise ConfigError("an evaluation is of one config, and this is a sweep", where=line, fix=fix)
        if override.is_delete():
            raise ConfigError("a key of a trained run can't be deleted", where=line, fix=f"{line[1:].split('=')[0]}=null")
    swaps = [o for o in parsed if o.key_or_group in known.groups and not isinstance(o.value(), dict)]
    return swaps, [o for o in parsed if all(o is not swap for swap in swaps)]


def _swap(config: DictConfig, override: Override, search: Sequence[str]) -> None:
    """Put a fresh node of a group in the place of the stored one, its interpolations as they are."""
    group, line = override.key_or_group, override.input_line or ""
    if group in TRAINED:
        keys = f"{group}.<key>=..." if isinstance(config.get(group), DictConfig) else "<group>.<key>=..."
        raise ConfigError(f"{group} is part of the trained model", where=line, fix=f"override single keys ({keys}), or train with {line}")
    if group not in SWAPPABLE or override.package is not None:
        raise ConfigError(f"{group} can't be chosen anew for a trained run", where=line, fix=f"what can: {', '.join(SWAPPABLE)}")
    if override.is_add() or override.is_force_add():
        raise ConfigError(f"{group} is there already", where=line, fix=line.lstrip("+"))
    fresh = compose(_PRIMARY, [*search, line])
    if group not in fresh and EMPTY.get(group) != override.value():
        raise ConfigError(f"the choice leaves no {group}", where=line, fix=f"segexp list {group} shows the options")
    with open_dict(config):
        config.pop(group, None)
        if group in fresh:
            config[group] = fresh[group]


def _set(config: DictConfig, override: Override) -> None:
    """Change the value of a key that exists, or with + add one."""
    key, value, line = override.key_or_group, override.value(), override.input_line or ""
    tree = OmegaConf.to_container(config, resolve=False)
    found, node, rest = descend(tree, key)
    adds = override.is_add() or override.is_force_add()
    if override.package is not None or "/" in key:
        raise ConfigError(f"there is no group '{key}'", where=line, fix=f"groups that can be chosen: {', '.join(SWAPPABLE)}")
    if rest and not adds:
        raise _unknown(line, key, found, node, rest)
    if not rest and override.is_add() and not isinstance(value, (dict, list)):
        raise ConfigError(f"{key} exists already", where=line, fix=line[1:])
    if isinstance(node, dict) and node and not rest and not isinstance(value, dict) and value is not None:
        raise ConfigError(f"{key} is a section, not a value", where=line, fix=f"set one of its keys: {', '.join(map(str, node))}")
    try:
        OmegaConf.update(config, key, value, merge=True, force_add=adds)
    except OmegaConfBaseException as error:
        raise ConfigError(" ".join(str(error.msg).split()), where=line, fix="change the override") from error


def _unknown(line: str, key: str, found: Sequence[str], node: Any, rest: Sequence[str]) -> ConfigError:
    """An error that lists the keys that are where the missing one was sought."""
    if not isinstance(node, dict):
        return ConfigError(f"there is no key {key}: {'.'.join(found)} is a value", where=line, fix=f"give {'.'.join(found)}=...")
    names = [str(name) for name in node]
    near = [".".join([*found, name, *rest[1:]]) for name in suggest(rest[0], names)]
    fix = (f"{did_you_mean(near)}; " if near else "") + f"the keys there: {', '.join(names)}; +{line} adds one"
    return ConfigError(f"there is no key {key}", where=line, fix=fix)
