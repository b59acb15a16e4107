"""Does what was typed exist? Overrides tested against the groups, options and keys of the config tree, before anything runs.

The check works inside `segexp.config.session`; the first three functions open one where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.catalogue import (
    SEARCHPATH,
    Base,
    Catalogue,
    catalogue,
    descend,
    did_you_mean,
    explained,
    likeness,
    nearest,
    paths,
    remembered,
    some,
    suggest,
)
from segexp.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

MAX_VARIANTS = 16  # compositions spent on keys below swept groups; every job is tested again when it is composed
CLOSE = 0.85  # an added key this near to an existing one is taken for a slip


def groups(primary: str = "train") -> list[str]:
    """The groups that a user may choose from, in the order of the primary's defaults list, then by name."""
    with _session():
        known = catalogue(primary)
        listed = [d.group.lstrip("/") for d in known.repo.load_config(primary).defaults_list if hasattr(d, "group")]
        return list(dict.fromkeys([g for g in listed if g in known.own_groups] + known.own_groups))


def options(group: str, primary: str = "train") -> list[str]:
    """The options of a group, sorted.

    Raises:
        ConfigError: there is no such group; names the nearest.
    """
    with _session():
        known = catalogue(primary)
        if group not in known.groups:
            raise ConfigError(f"there is no group '{group}'", where="the config tree", fix=_right_group(known, group))
        return known.options(group)


def describe_option(group: str, option: str, primary: str = "train") -> str:
    """What the comment at the top of an option's file says, without the file's own path; empty if it says nothing."""
    with _session():
        sources = catalogue(primary).repo.get_sources()
    for source in sources:
        if source.scheme() == "file" and source.is_config(f"{group}/{option}"):
            lines = Path(source.path, group, f"{option}.yaml").read_text(encoding="utf-8").splitlines()
            head = [line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines)]
            said = (re.sub(r"^\S+\.yaml\b[:,]?\s*", "", text).strip() for text in head if not text.startswith("@package"))
            return next(filter(None, said), "")
    return ""


def _session() -> AbstractContextManager[None]:
    """The open session, whatever its folder; else one on segexp's own configs."""
    from segexp.config import session  # which imports this module

    return session() if remembered.get(None) is None else nullcontext()


# ------------------------------------------------------------------------------------------------- the check


@dataclass(frozen=True)
class Checked:
    """Overrides that passed: those that choose files, those that set values, those that sweep."""

    groups: tuple[str, ...]  # with the first value of every sweep
    values: tuple[Override, ...]
    sweeps: tuple[str, ...]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: what, in which override, and what to type instead."""

    what: str
    where: str
    fix: str


def check_overrides(primary: str, overrides: Sequence[str]) -> Checked:
    """Refuse overrides that name a group, an option or a key that doesn't exist; report all of them at once.

    Args:
        primary: the primary config's name.
        overrides: as typed; sweeps are welcome, each of their values is tested.

    Raises:
        ConfigError: what doesn't exist, in which overrides, and the nearest names.
    """
    known = catalogue(primary, overrides)
    parsed = [o for o in _parsed(known, overrides) if not _line(o).lstrip("+").startswith(SEARCHPATH)]
    choosing, values = [o for o in parsed if _chooses(known, o)], [o for o in parsed if not _chooses(known, o)]
    unsound = {o.key_or_group: faults for o in choosing if (faults := _option_faults(known, o))}
    sound = [o for o in choosing if o.key_or_group not in unsound]
    faults = [fault for group in unsound.values() for fault in group] + _value_faults(known, sound, set(unsound), values)
    if faults:
        raise combined(faults)
    return Checked(_variants(known, sound, [])[0], tuple(values), tuple(_line(o) for o in parsed if o.is_sweep_override()))


def combined(faults: Sequence[Fault]) -> ConfigError:
    """One error that reports them all."""
    parts = (dict.fromkeys(getattr(fault, part) for fault in faults) for part in ("what", "where", "fix"))
    what, where, fix = (mark.join(part) for mark, part in zip((" / ", " ", "; "), parts, strict=True))
    return ConfigError(what, where=where, fix=fix)


def _parsed(known: Catalogue, overrides: Sequence[str]) -> list[Override]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    with explained():
        return OverridesParser.create(known.loader).parse_overrides(list(overrides))


def _line(override: Override) -> str:
    return override.input_line or ""


def _chooses(known: Catalogue, override: Override) -> bool:
    return override.key_or_group in known.groups and not isinstance(override.value(), dict)


def _elements(override: Override) -> list[Any]:
    """The values that a sweep takes, or the one value; quoted text stays quoted."""
    found = list(override.sweep_iterator()) if override.is_discrete_sweep() else []
    return found or [override.get_value_string() if override.is_sweep_override() else override._value]


def _variants(known: Catalogue, choosing: Sequence[Override], values: Sequence[Override]) -> list[tuple[str, ...]]:
    """Group choices to test keys against: the first of every sweep, then each other one that a key may depend on."""
    from hydra.core.override_parser.types import Transformer

    def line(override: Override, element: Any) -> str:
        return f"{override.get_key_element()}={Transformer.str(element)}"

    sweeps = {i: _elements(o) for i, o in enumerate(choosing) if o.is_sweep_override()}
    first = [line(o, sweeps[i][0]) if i in sweeps else _line(o) for i, o in enumerate(choosing)]
    found = [tuple(first)]
    for i, elements in sweeps.items():
        group = choosing[i].key_or_group
        if values and (known.is_preset(group) or any(o.key_or_group.startswith(f"{group}.") for o in values)):
            found += [(*first[:i], line(choosing[i], element), *first[i + 1 :]) for element in elements[1:]]
    return found[:MAX_VARIANTS]


# ------------------------------------------------------------------------------------------------- groups and options


def _option_faults(known: Catalogue, override: Override) -> list[Fault]:
    if override.is_delete() and override.value() is None:
        return []
    group, names = override.key_or_group, []
    for element in _elements(override):
        names += element if isinstance(element, list) else [element]
    plain = dict.fromkeys(getattr(name, "text", name) for name in names)  # quoted text
    wrong = [name for name in plain if name not in known.options(group)]
    return [Fault(_no_option(group, name), _line(override), _right_option(known, group, name)) for name in wrong]


def _no_option(group: str, name: Any) -> str:
    typed = str(name).lower() if isinstance(name, bool) else name
    return f"the group {group} can't be null" if name is None else f"the group {group} has no option '{typed}'"


def _right_option(known: Catalogue, group: str, name: Any) -> str:
    offered = known.options(group)
    if (name is None or name is False) and "none" in offered:
        return f"use {group}=none"
    if near := suggest(str(name), offered):
        more = [option for option in nearest(str(name), offered) if option not in near]  # far from the best, and near enough to be named
        return did_you_mean([f"{group}={option}" for option in near]) + (f" (or {', '.join(more)})" if more else "")
    if elsewhere := _offering(known, str(name)):
        return f"'{name}' is an option of {' and '.join(elsewhere)}"
    return f"the options of {group}: {some(offered)}"


def _right_group(known: Catalogue, name: str) -> str:
    near = suggest(name, known.groups if name.startswith("hydra") else known.own_groups)
    return did_you_mean(near) if near else f"the groups: {some(known.own_groups)}"


def _offering(known: Catalogue, option: str) -> list[str]:
    return [] if option == "none" else [group for group in known.own_groups if option in known.options(group)]


# ------------------------------------------------------------------------------------------------- keys


def _value_faults(known: Catalogue, choosing: Sequence[Override], unsound: set[str], values: Sequence[Override]) -> list[Fault]:
    """Keys that don't exist where the sound group choices are composed; what depends on an unsound one is not judged."""
    unsettled = any(known.is_preset(group) for group in unsound)
    found: dict[tuple[str, str], Fault] = {}
    try:
        bases = [known.base(variant) for variant in _variants(known, choosing, values)] if values or not unsound else []
    except ConfigError:
        if unsound:
            return []
        raise
    for base in bases:
        for override in values:
            for key in _keys(base, override):
                top = key.split(".")[0]
                if top in unsound or (unsettled and top in base.tree) or (_line(override), key) in found:
                    continue
                if fault := _key_fault(known, base, override, key):
                    found[_line(override), key] = fault
    return list(found.values())


def _takes_a_dict(base: Base, key: str) -> bool:
    """Is this key null or an empty section, so that whatever is within a value is new?"""
    _, node, rest = descend(base.tree, key)
    return not rest and (node is None or node == {})


def _keys(base: Base, override: Override) -> list[str]:
    """The keys that an override touches; a dict value touches each of its leaves."""
    value = override.value()
    if not isinstance(value, dict) or override.is_add() or override.is_force_add() or _takes_a_dict(base, override.key_or_group):
        return [override.key_or_group]
    inner = list(paths(value))
    leaves = [path for path in inner if not any(other.startswith(f"{path}.") for other in inner)]
    return [f"{override.key_or_group}.{leaf}" for leaf in leaves] or [override.key_or_group]


def _key_fault(known: Catalogue, base: Base, override: Override, key: str) -> Fault | None:
    line, value = _line(override), override.value()
    if not key:
        return Fault(f"'{line}' names no key", line, "write key=value")
    if "/" in key or override.package is not None:
        return Fault(f"there is no group '{key}'", line, _right_group(known, key))
    _, node, rest = descend(base.tree, key)
    if override.is_add() or override.is_force_add():
        return _addition_fault(base, override, key, exists=not rest)
    if rest:
        return None if _is_interpolation(node) else _missing(known, base, override, key)
    if override.is_delete() and node is None:
        return Fault(f"{key} is null already, and can't be deleted", line, f"leave out {line}")
    plain = isinstance(value, (str, int, float)) and not override.is_delete() and not _is_interpolation(value)
    if plain and isinstance(node, dict) and node:
        return Fault(f"{key} is a section, not a value", line, f"set one of its keys: {some(node)}")
    return None


def _is_interpolation(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def _addition_fault(base: Base, override: Override, key: str, *, exists: bool) -> Fault | None:
    line = _line(override)
    if exists:
        mergeable = override.is_force_add() or isinstance(override.value(), (dict, list))
        return None if mergeable else Fault(f"{key} exists already", line, f"drop the +: {line[1:]}")
    twins = suggest(key, [path for path in paths(base.tree) if _is_twin(key, path)])
    return Fault(f"{key} is new, and looks like {twins[0]}", line, f"did you mean {twins[0]}={line.partition('=')[2]}") if twins else None


def _is_twin(key: str, path: str) -> bool:
    """Is each segment of the two nearly the same? Names that differ in a number only, as c4 and c5, are siblings."""
    a, b = key.split("."), path.split(".")
    if len(a) != len(b) or re.sub(r"\d+", "", key) == re.sub(r"\d+", "", path):
        return False
    return all(x == y or SequenceMatcher(None, y, x).ratio() >= CLOSE for x, y in zip(a, b, strict=True))


def _missing(known: Catalogue, base: Base, override: Override, key: str) -> Fault:
    if fault := _of_another_option(known, base, key, _line(override)):
        return fault
    found, node, _ = descend(base.tree, key)
    section, line = ".".join(found), _line(override)
    if found and not isinstance(node, (dict, list)):
        return Fault(f"there is no key {key}: {section} is a value, not a section", line, f"set {section} itself")
    kind = "key" if "." in key else "group or key"
    return Fault(f"there is no {kind} {key}", line, _right_key(known, base, override, key, section))


def _right_key(known: Catalogue, base: Base, override: Override, key: str, section: str) -> str:
    if near := _nearest(known, base, key):
        return did_you_mean(near)
    value = override.value()
    if not section and isinstance(value, str) and (elsewhere := _offering(known, value)):
        return did_you_mean([f"{group}={value}" for group in elsewhere])
    if not section:
        return f"the groups: {some(known.own_groups)}"
    _, node, _ = descend(base.tree, section)
    inside = f"the keys of {section}: {some(node)}; " if isinstance(node, dict) and node else ""
    return f"{inside}+{_line(override).lstrip('~')} adds a new one"


def _of_another_option(known: Catalogue, base: Base, key: str, line: str) -> Fault | None:
    """A key of `head=fcn` typed with `head=center`, rightly spelt or nearly."""
    group, _, below = key.partition(".")
    if not below or group not in known.own_groups:
        return None
    chosen = base.choices.get(group)
    keys = {option: known.keys_of(group, option) for option in known.options(group) if option != chosen}
    own = list(paths(base.tree.get(group)))
    foreign = [below] if below in set().union(*keys.values()) else suggest(below, set().union(*keys.values()).difference(own), cutoff=0.75)
    near = suggest(below, own)
    if not foreign or (near and likeness(below, near[0]) >= likeness(below, foreign[0])):
        return None
    owners = [f"{group}={option}" for option in keys if foreign[0] in keys[option]]
    what = f"{group}={chosen} has no key {below}" if chosen else f"there is no key {key}"
    return Fault(what, line, f"{group}.{foreign[0]} is a key of {' and '.join(owners[:3])}")


def _nearest(known: Catalogue, base: Base, key: str) -> list[str]:
    """Existing keys near to one that doesn't exist: in the same section, then ending alike, then as a whole, then in their last word."""
    found, node, rest = descend(base.tree, key)
    names = [str(name) for name in node] if isinstance(node, dict) else []
    inside = suggest(rest[0], [n for n in {*names, *(() if found else known.own_groups)} if found or n != "hydra"])
    if full := [p for name in inside if not descend(base.tree, p := ".".join([*found, name, *rest[1:]]))[2]]:
        return full
    everything = [p for p in paths(base.tree) if key.startswith("hydra") == p.startswith("hydra") and not key.startswith(f"{p}.")]
    near = [p for p in everything if p.endswith(f".{key}")] or [".".join([*found, name]) for name in inside]
    if near := near or suggest(key, everything, cutoff=0.75):
        return near[:3]
    words = suggest(rest[-1], {path.rpartition(".")[2] for path in everything}, cutoff=0.8)
    return sorted((path for path in everything if path.rpartition(".")[2] in words[:1]), key=lambda path: (path.count("."), path))[:3]
