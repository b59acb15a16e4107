"""Do the keys that a preset file sets exist? Struct mode guards the command line alone: YAML files merge whatever they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segexp.catalogue import Catalogue, catalogue, did_you_mean, explained, nodes, suggest
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
    from hydra.types import RunMode

    with explained(known, chosen):
        listed = known.loader.compute_defaults_list(known.primary, [*known.searchpath, *chosen], RunMode.RUN).defaults
    files = {d.config_path: d for d in listed if not d.config_path.startswith("hydra/")}
    presets = sorted(path for path, d in files.items() if not d.package and not d.primary)
    defined: dict[str, Any] = {}
    for path in files.keys() - presets:
        tree = known.content(path)
        for section in reversed((files[path].package or "").split(".")):
            tree = {section: tree} if section else tree
        defined.update(nodes(tree))
    return [
        Fault(f"{path}.yaml sets {key}, which nothing defines", f"{path}.yaml", did_you_mean(near) if near else f"remove {key}")
        for path in presets
        for key in _unfounded(known.content(path), defined, strict)
        for near in [suggest(key, defined, cutoff=0.75)]
    ]


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
