"""Which files a composition reads, in order, and who chose each: the command line, or an entry of a defaults list.

Of Hydra it uses the public `compute_defaults_list`, and what that returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segexp.catalogue import Catalogue, explained
from segexp.lines import Lines, lines


@dataclass(frozen=True)
class Place:
    """Where something was said: in an override, or on a line of a file. A dataclass that a package registered has neither."""

    override: str = ""
    file: Path | None = None
    line: int = 0
    name: str = ""  # of the config in the tree, such as `optimizer/sgd`

    def __str__(self) -> str:
        if self.override:
            return f"override {self.override}"
        return f"{shown(self.file)}:{self.line}" if self.file else f"the registered config {self.name}"


@dataclass(frozen=True)
class Setting:
    """A value, where it was set, and the group whose choice brought that file in; no group for the primary and for overrides."""

    value: Any
    place: Place
    group: str = ""


@dataclass(frozen=True)
class ReadFile:
    """A file of a composition."""

    name: str  # in the config tree, such as `optimizer/sgd`
    package: str  # the section that it fills; empty for the whole config
    path: Path | None  # None: a registered dataclass
    group: str  # whose choice brought it in; empty for the primary

    @property
    def lines(self) -> Lines:
        return lines(self.path, self.name) if self.path else Lines({}, ())

    def place(self, key: str) -> Place:
        """Where this file sets a key, given as within the file."""
        return Place(file=self.path, line=self.lines.of(key) if self.path else 0, name=self.name)


class Choices:
    """The files of one composition and who chose them; value overrides never change them.

    Args:
        known: the catalogue of the primary.
        groups: the overrides that choose options, checked before.
    """

    def __init__(self, known: Catalogue, groups: Sequence[str]) -> None:
        from hydra.types import RunMode

        self.known, self._typed = known, {text.partition("=")[0].lstrip("+~"): text for text in groups}
        with explained(known, groups):
            found = known.loader.compute_defaults_list(known.primary, [*known.searchpath, *groups], RunMode.RUN)
        self._metadata = found.overrides.override_metadata
        self._parents = dict(_edges(found.defaults_tree, "", ""))  # name -> (group, name of the file that has it in its list)
        own = [d for d in found.defaults if not (d.package or "").startswith("hydra") and not d.config_path.startswith("hydra/")]
        self.files = [ReadFile(d.config_path, d.package or "", locate(known, d.config_path), self._group(d.config_path)) for d in own]
        self.chosen = {key: str(value) for key, value in found.overrides.known_choices.items() if not key.startswith("hydra/")}
        self._lists()

    def _lists(self) -> None:
        """A group whose choice is a list of options has no entry of its own in what Hydra tells."""
        for name, (group, parent) in self._parents.items():
            if group and group not in self.chosen and parent:
                options = [other.rpartition("/")[2] for other, edge in self._parents.items() if edge == (group, parent)]
                self.chosen[group] = "[" + ", ".join(dict.fromkeys(options)) + "]" if len(options) > 1 else name.rpartition("/")[2]

    def _group(self, name: str) -> str:
        """The group whose choice brought a file in: its own, or that of the file which includes it."""
        while name and name != self.known.primary:
            group, parent = self._parents.get(name, ("", ""))
            if group:
                return group
            name = parent
        return ""

    def origin(self, group: str) -> tuple[Setting, ...]:
        """Who chose a group's option, the last word first."""
        entries = list(self._entries(group))
        if group in self._typed:
            entries.insert(0, Setting(self.chosen[group], Place(override=self._typed[group])))
        elif entries:
            winner = getattr(self._metadata.get(group), "containing_config_path", None)
            entries.sort(key=lambda entry: entry.place.name != winner)  # stable
            entries[0] = Setting(self.chosen[group], entries[0].place, entries[0].group)
        return tuple(entries)

    def _entries(self, group: str) -> Iterator[Setting]:
        """What the files say of a group: those with `override` first, the latest of them at the head."""
        said = [
            (Setting(option, Place(file=file.path, line=line, name=file.name), file.group), overrides)
            for file in {file.name: file for file in self.files}.values()
            for name, option, overrides, line in file.lines.defaults
            if _names(name, group)
        ]
        yield from (setting for setting, overrides in reversed(said) if overrides)
        yield from (setting for setting, overrides in said if not overrides)


def locate(known: Catalogue, name: str) -> Path | None:
    """The file of a config, the one that Hydra takes; None where it is no file."""
    import importlib.util

    for source in known.repo.get_sources():
        if not source.is_config(name):
            continue
        if source.scheme() == "file":
            return Path(source.path, f"{name}.yaml")
        package = source.path.replace("/", ".") if source.scheme() == "pkg" else ""
        spec = importlib.util.find_spec(package) if package else None
        places = (spec.submodule_search_locations or ()) if spec else ()
        return next((Path(place, f"{name}.yaml") for place in places if Path(place, f"{name}.yaml").is_file()), None)
    return None


def _edges(node: Any, parent: str, inside: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """(Name, (group, name of the parent)) of each config of Hydra's tree of defaults; no group for what is included by its path."""
    default = getattr(node, "node", node)
    if default.is_virtual():
        for child in node.children or ():
            yield from _edges(child, "", "")
        return
    if default.is_self() or default.get_name() is None:
        return
    name = default.get_config_path()
    group = default.get_override_key() if hasattr(default, "group") else _listed_group(name, inside)
    yield name, (group if parent else "", parent)
    for child in getattr(node, "children", None) or ():
        yield from _edges(child, name, name)


def _listed_group(name: str, parent: str) -> str:
    """The group of an option that stands in a list; none where a file of a group includes another one of it."""
    group = name.lstrip("/").rpartition("/")[0]
    return "" if group == parent.rpartition("/")[0] else group


def _names(said: str, group: str) -> bool:
    """Is an entry about this group? Its package is relative to its file's, as `/loss@main` to `loss@loss.main`."""
    (name, _, package), (wanted, _, place) = said.partition("@"), group.partition("@")
    return name == wanted and (package == place or (bool(package) and place.endswith(f".{package}")))


def shown(path: Path) -> str:
    """A path from the working directory where it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
