"""What a user may name: the groups, options and keys of the config tree, names near a misspelt one, Hydra's errors in one line.

Works inside `segexp.config.session`; Hydra is imported late and torch never. Of Hydra's private side it uses one call,
`_parse_overrides_and_create_caching_repo`: the public ones don't see a `hydra.searchpath`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.errors import ConfigError, SegexpError
from segexp.lines import lines

if TYPE_CHECKING:
    from omegaconf import DictConfig


def suggest(name: str, candidates: Iterable[str], *, cutoff: float = 0.6) -> list[str]:
    """The up to three candidates nearest to a misspelt name, best first; only the best where it stands out."""
    near = nearest(name, candidates, cutoff=cutoff)
    return [candidate for candidate in near if likeness(name, candidate) > likeness(name, near[0]) - 0.1]


def nearest(name: str, candidates: Iterable[str], *, cutoff: float = 0.6) -> list[str]:
    """The up to three candidates nearest to a misspelt name, best first."""
    scored = sorted((-likeness(name, candidate), candidate) for candidate in set(candidates))
    return [candidate for score, candidate in scored if -score >= cutoff][:3]


def likeness(name: str, candidate: str) -> float:
    """How near two names are, 0 to 1; a name that is part of the other counts 0.8 at least."""
    a, b = (text.lower().replace("-", "_") for text in (name, candidate))
    ratio = SequenceMatcher(None, b, a).ratio()
    return max(ratio, 0.8) if len(a) > 3 and a in b else ratio


def did_you_mean(names: Sequence[str]) -> str:
    return "did you mean " + " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def plain(config: Any) -> dict[str, Any]:
    """A config's mapping as plain containers, interpolations as text; empty if it is no mapping."""
    from omegaconf import OmegaConf

    tree: Any = OmegaConf.to_container(config, resolve=False)
    return tree if isinstance(tree, dict) else {}


def nodes(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(Dotted path, value) of every node of plain containers, a section before its members; a list is one node."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield f"{prefix}{name}", value
            yield from nodes(value, f"{prefix}{name}.")


def some(names: Iterable[Any], most: int = 12) -> str:
    """The first few names of what may be many, without private ones such as ``_target_``."""
    listed = [str(name) for name in names if not str(name).startswith("_")]
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def paths(tree: Any) -> Iterator[str]:
    """The dotted path of every node."""
    return (path for path, _ in nodes(tree))


def descend(tree: Any, key: str) -> tuple[list[str], Any, list[str]]:
    """Follow a key as far as it exists: (segments found, the node there, segments that don't exist)."""
    found, rest = [], re.findall(r"[^.\[\]]+", key)
    while rest:
        members = tree if isinstance(tree, Mapping) else dict(enumerate(tree)) if isinstance(tree, list) else {}
        named = {str(name): value for name, value in members.items()}
        if rest[0] not in named:
            break
        tree = named[rest[0]]
        found.append(rest.pop(0))
    return found, tree, rest


@dataclass(frozen=True)
class Base:
    """A composition of group choices alone: value overrides never change which files are read, they come on top."""

    config: DictConfig  # struct mode, without the hydra node
    choices: dict[str, str]
    tree: dict[str, Any]  # plain containers, interpolations as text, the hydra node included


class Catalogue:
    """The config tree as one primary sees it.

    Args:
        primary: the primary config's name, such as ``train``.
        searchpath: the ``hydra.searchpath=...`` among the overrides, which may add groups and options.

    Raises:
        ConfigError: there is no such primary, or the search path names a folder that doesn't exist.
    """

    def __init__(self, primary: str, searchpath: Sequence[str] = ()) -> None:
        from hydra.core.global_hydra import GlobalHydra

        self.loader: Any = GlobalHydra.instance().config_loader()
        self.primary, self.searchpath = primary, tuple(searchpath)
        self.bases: dict[tuple[str, ...], Base] = {}
        self.vetted: set[tuple[str, ...]] = set()  # group overrides whose preset files set no unknown key
        with explained(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "provider=.* is not available")  # said below, as an error
            _, self.repo = self.loader._parse_overrides_and_create_caching_repo(primary, list(searchpath))
        if not self.repo.config_exists(primary):
            near = suggest(primary, self.repo.get_group_options(""))
            raise ConfigError(f"there is no primary config '{primary}'", where=f"{primary}.yaml", fix=did_you_mean(near or ["train"]))
        if absent := [source.path for source in self.repo.get_sources() if not source.available()]:
            raise ConfigError(f"no folder of configs at {', '.join(absent)}", where="hydra.searchpath", fix="give an existing folder")

    @cached_property
    def groups(self) -> frozenset[str]:
        """Every group, nested ones as ``hydra/launcher``."""
        return frozenset(self._below(""))

    def _below(self, parent: str) -> Iterator[str]:
        from hydra.core.object_type import ObjectType

        for name in self.repo.get_group_options(parent, ObjectType.GROUP):
            group = f"{parent}/{name}".lstrip("/")
            yield group
            yield from self._below(group)

    @cached_property
    def own_groups(self) -> list[str]:
        """The groups with options, without Hydra's own, sorted."""
        return sorted(g for g in self.groups if g.split("/")[0] != "hydra" and self.repo.get_group_options(g))

    def options(self, group: str) -> list[str]:
        """The options of a group, sorted; those in folders below it as ``folder/option``."""
        below = sorted(g for g in self.groups if g.startswith(f"{group}/")) if group != "hydra" else []
        nested = [f"{sub[len(group) + 1 :]}/{option}" for sub in below for option in self.repo.get_group_options(sub)]
        return self.repo.get_group_options(group) + nested

    def is_preset(self, group: str) -> bool:
        """Does a choice of this group set keys of others?"""
        return any(self.is_global(f"{group}/{option}") for option in self.repo.get_group_options(group) if option != "none")

    def is_global(self, path: str) -> bool:
        """Does this file set keys of the whole config rather than of its own section?"""
        loaded = self.repo.load_config(path)
        return loaded is not None and loaded.header["package"] == "_global_"

    def content(self, path: str) -> dict[str, Any]:
        """One file without its defaults list, as plain containers."""
        return {k: v for k, v in plain(self.repo.load_config(path).config).items() if k != "defaults"}

    def file(self, path: str) -> Path | None:
        """The file of a config, the one that Hydra takes; None where it is none on the disk."""
        for source in self.repo.get_sources():
            if source.is_config(path):
                return Path(source.path, f"{path}.yaml") if source.scheme() == "file" else None
        return None

    def place(self, path: str, key: str = "", choice: str = "") -> str:
        """`model/fcn.yaml:7`: the line of a key, or of the entry of the defaults list that chooses of a group."""
        file = self.file(path)
        if file is None or not (key or choice):
            return f"{path}.yaml"
        said = lines(file, path)
        line = next((line for group, _, _, line in said.defaults if group == choice), 1) if choice else said.of(key)
        return f"{path}.yaml:{line}"

    def keys_of(self, group: str, option: str) -> dict[str, Any]:
        """The nodes that an option defines, by path, those of the options that it builds on included; none for a preset."""
        path = f"{group}/{option}"
        if self.is_global(path) or not self.repo.config_exists(path):
            return {}
        parents = [
            d.path
            for d in self.repo.load_config(path).defaults_list or ()
            if getattr(d, "path", "_self_") != "_self_" and "/" not in d.path
        ]
        inherited = {key: value for parent in parents for key, value in self.keys_of(group, parent).items()}
        return inherited | dict(nodes(self.content(path)))

    def base(self, groups: tuple[str, ...]) -> Base:
        """The composition of these group overrides, remembered."""
        from hydra.types import RunMode
        from omegaconf import open_dict

        if groups not in self.bases:
            with explained(self, groups):
                config = self.loader.load_configuration(self.primary, [*self.searchpath, *groups], RunMode.RUN, from_shell=False)
            choices, tree = plain(config.hydra.runtime.choices), plain(config)
            with open_dict(config):
                del config["hydra"]
            kept = {group: str(option) for group, option in choices.items() if not group.startswith("hydra/")}
            self.bases[groups] = Base(config, kept, tree)
        return self.bases[groups]


# What the open session has read, by primary and search path; `segexp.config.session` opens and closes it.
remembered: ContextVar[dict[tuple[str, ...], Catalogue]] = ContextVar("remembered")
SEARCHPATH = "hydra.searchpath="


def catalogue(primary: str, overrides: Sequence[str] = ()) -> Catalogue:
    """The open session's view of the config tree."""
    key = (primary, *(o for o in overrides if o.lstrip("+").startswith(SEARCHPATH)))
    kept = remembered.get()
    if key not in kept:
        kept[key] = Catalogue(primary, key[1:])
    return kept[key]


@contextmanager
def explained(known: Catalogue | None = None, groups: Sequence[str] = ()) -> Iterator[None]:
    """Turn whatever Hydra or OmegaConf raises into a `ConfigError` of one line."""
    try:
        yield
    except SegexpError:
        raise
    except Exception as error:
        raise _explain(error, known, groups) from error


def _explain(error: Exception, known: Catalogue | None, groups: Sequence[str]) -> ConfigError:
    from hydra.errors import MissingConfigException, OverrideParseException

    where = " ".join(groups)
    text = " ".join(str(error).split("\nConfig search path")[0].split("\nSee https")[0].split())
    if isinstance(error, OverrideParseException):
        key, equals, value = error.override.partition("=")
        reason = re.sub(r"^Error parsing override '.*?' (?=\S)|\s*\^$|^\w+Exception: ", "", text)
        how = f"""quote the value, inside the shell's own quotes: "{key}='{value}'\"""" if equals else f"write {key}=<value>"
        return ConfigError(f"the override '{error.override}' can't be read ({reason})", where="the command line", fix=how)
    if isinstance(error, MissingConfigException) and known and (said := _absent(known, str(error.missing_cfg_file), groups)):
        return said
    if twice := re.search(r"Multiple values for (\S+)\.|(\S+) appears more than once", text):
        group = twice[1] or twice[2]
        return ConfigError(f"the group {group} is chosen twice", where=where, fix=f"write {group}=..., without the +")
    if unused := re.search(r"(?:In '(\S+)': )?Could not override '(\S+)'.* No match in the defaults list", text):
        near = suggest(unused[2], known.own_groups) if known and unused[1] else []
        where = known.place(unused[1], choice=unused[2]) if known and unused[1] else where
        fix = did_you_mean(near) if near else f"leave out {unused[2]}=..."
        return ConfigError(f"the primary config has no place for the group {unused[2]}", where=where, fix=fix)
    if marked := re.findall(r'in "([^"]+)", line (\d+)', text):
        place = ":".join(marked[-1])
        reason = re.sub(r'\s*in "[^"]+", line \d+, column \d+', "", text)
        return ConfigError(f"the file is no YAML: {reason}", where=place, fix=f"mend line {marked[-1][1]}, or the one before it")
    if error.__cause__ is not None:
        text = f"{text}: {' '.join(str(error.__cause__).split())}"
    return ConfigError(text or type(error).__name__, where=where, fix="mend the file or the override that is named")


def _absent(known: Catalogue, missing: str, groups: Sequence[str]) -> ConfigError | None:
    """Some file chooses an option that doesn't exist: which file, and what it could choose."""
    group, _, wanted = missing.rpartition("/")
    for path, default in _reached(known, groups):
        if default.group.strip("/") != group:
            continue
        if said := _unserved(path, str(default.value), known.options(group), wanted):
            return said
        if default.value == wanted:
            near = suggest(wanted, known.options(group))
            fix = (
                did_you_mean([f"{group}={option}" for option in near]) if near else f"the options of {group}: {some(known.options(group))}"
            )
            return ConfigError(f"{path}.yaml chooses {group}={wanted}, which doesn't exist", where=known.place(path, choice=group), fix=fix)
    return None


def _unserved(path: str, template: str, options: Sequence[str], wanted: str) -> ConfigError | None:
    """A model wrote ``override /postprocess: query_${task}``: the options that exist are the tasks that it serves."""
    variable = re.search(r"\$\{(\w+)\}", template)
    if not variable:
        return None
    before, after = (re.escape(part) for part in template.split(variable[0], 1))
    matches = [re.fullmatch(f"{before}(.+){after}", option) for option in (wanted, *options)]
    if matches[0] is None or not (fits := [match[1] for match in matches[1:] if match]):
        return None
    kind, _, name = path.partition("/")
    what = f"{kind} {name} serves {variable[1]}={'|'.join(fits)}, not {variable[1]}={matches[0][1]}"
    return ConfigError(what, where=f"{path}.yaml", fix=f"choose one of these, or another {kind}")


def _reached(known: Catalogue, groups: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Each choice of a group in the files that were typed or that these choose, with the file that holds it."""
    todo, seen = [choice.lstrip("+").replace("=", "/", 1) for choice in groups] + [known.primary], set()
    while todo:
        path = todo.pop(0)
        loaded = None if path in seen else known.repo.load_config(path)
        seen.add(path)
        for default in (loaded.defaults_list or ()) if loaded else ():
            if hasattr(default, "group"):
                yield path, default
                todo.append(f"{default.group.strip('/')}/{default.value}")
