"""Do the keys that a preset file sets exist? Struct mode guards the command line alone: YAML files merge whatever they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segexp.catalogue import Catalogue, catalogue, did_you_mean, nodes, suggest
from segexp.overrides import Fault, combined


def preset_faults(primary: str = "train", presets: Sequence[str] = ("task", "model", "experiment", "debug")) -> list[str]:
    """Keys that the shipped presets set and nothing else defines, each with its file and the nearest key that exists."""
    known = catalogue(primary)
    offered = [f"{group}={option}" for group in presets if group in known.groups for option in known.options(group)]
    faults = [fault for choice in offered for fault in _added_keys(known, (choice,), strict=True)]
    return list(dict.fromkeys(f"{fault.what} ({fault.fix})" for fault in faults))


def check_presets(known: Catalogue, chosen: tuple[str, ...]) -> None:
    """Refuse a preset that adds a key by a slip: struct mode guards the command line alone.

    Sections with a ``_target_`` are left to `segexp.config.make`, which knows what the target takes.

    Args:
        known: the catalogue of the primary.
        chosen: group overrides.

    Raises:
        ConfigError: names the file and the key, and the nearest that exists.
    """
    if chosen not in known.vetted:
        if faults := _added_keys(known, chosen, strict=False):
            raise combined(faults)
        known.vetted.add(chosen)


def _added_keys(known: Catalogue, chosen: tuple[str, ...], *, strict: bool) -> list[Fault]:
    choices = known.base(chosen).choices
    chosen_files = [f"{place.partition('@')[0]}/{option}" for place, option in choices.items()]
    presets = {path: known.content(path) for path in chosen_files if known.is_global(path)}
    defined = _defined(known, choices, {key for content in presets.values() for key in content})
    return [
        Fault(f"{path}.yaml sets {key}, which nothing defines", known.place(path, key), did_you_mean(near) if near else f"remove {key}")
        for path, content in sorted(presets.items())
        for key in _unfounded(content, defined, strict)
        for near in [suggest(key, defined, cutoff=0.75)]
    ]


def _defined(known: Catalogue, choices: dict[str, str], sections: set[str]) -> dict[str, Any]:
    """The nodes of some sections by path, as the primary and the chosen options define them."""
    found = dict(nodes(known.content(known.primary)))
    several = {group: known.options(group) for group in known.own_groups if group in sections and group not in choices}  # a list of options
    for place, options in {**{place: [option] for place, option in choices.items()}, **several}.items():
        group, _, package = place.partition("@")
        section = package or group.replace("/", ".")
        if section.split(".")[0] in sections:
            inner = {f"{section}.{key}": value for option in options for key, value in known.keys_of(group, option).items()}
            found |= ({section: inner} if inner else {}) | inner
    return found


def _unfounded(tree: dict[str, Any], defined: dict[str, Any], strict: bool, section: str = "") -> list[str]:
    """Keys without a definition; a node with its own ``_target_`` is meant to be new, and so is a member of an empty section."""
    if (section and defined.get(section) in ({}, None)) or (not strict and f"{section}._target_" in defined):
        tree = {name: value for name, value in tree.items() if f"{section}.{name}" in defined}
    found = []
    for name, value in tree.items():
        key = f"{section}.{name}".lstrip(".")
        if key == "hydra" or (isinstance(value, dict) and "_target_" in value):
            continue
        if key not in defined:
            found.append(key)
        elif isinstance(value, dict):
            found += _unfounded(value, defined, strict, key)
    return found
