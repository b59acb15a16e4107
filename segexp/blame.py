"""Where each value of a composed config comes from: the file and line, or the override, that set it, and what that replaced.

The composition is done once more, one file or override after another, by OmegaConf itself, and what each step changes is noted;
so the values are the composed ones by construction. Nothing here needs torch.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segexp.catalogue import Catalogue, catalogue, descend, did_you_mean, explained, nodes, plain, suggest
from segexp.choices import Choices, Place, ReadFile, Setting
from segexp.config import session
from segexp.errors import ConfigError
from segexp.overrides import check_overrides, groups
from segexp.presets import check_presets

REFERENCE = re.compile(r"\$\{\s*(?:oc\.select:\s*)?(\.*[\w@/-]+(?:[.\[][\w@/\]-]+)*)\s*[},]")


@dataclass(frozen=True)
class Origin:
    """Where a value comes from.

    Args:
        key: its dotted path; of a choice, the group.
        settings: who set it, the one that counts first, then what each replaced.
        refers: the keys that its text refers to, as `${paths.data}/camvid` to `paths.data`.
    """

    key: str
    settings: tuple[Setting, ...]
    refers: tuple[str, ...] = ()

    @property
    def value(self) -> Any:
        """As composed; interpolations as text."""
        return self.settings[0].value

    @property
    def place(self) -> Place:
        return self.settings[0].place

    @property
    def replaced(self) -> tuple[Setting, ...]:
        """What was said before, newest first."""
        return self.settings[1:]


def blame(primary: str, overrides: Sequence[str] = (), *, conf: Path | None = None) -> dict[str, Origin]:
    """The origin of each leaf of a composed config, in the config's order; a list is one leaf, and so is an empty section.

    Args:
        primary: `train`, `evaluate`, ...
        overrides: as on the command line, without sweeps.
        conf: the folder of configs; segexp's own unless given.

    Raises:
        ConfigError: the config doesn't compose.
    """
    return explain(primary, overrides, conf=conf)[0]


def choices(primary: str, overrides: Sequence[str] = (), *, conf: Path | None = None) -> dict[str, Origin]:
    """Who chose the option of each group; arguments and errors as of `blame`."""
    return explain(primary, overrides, conf=conf)[1]


def explain(primary: str, overrides: Sequence[str] = (), *, conf: Path | None = None) -> tuple[dict[str, Origin], dict[str, Origin]]:
    """The origins of the leaves, and of the choices; arguments and errors as of `blame`."""
    with session(conf):
        known, checked = catalogue(primary, overrides), check_overrides(primary, overrides)
        if checked.sweeps:
            fix = "choose one value of each; write [a,b] for a list"
            raise ConfigError("one config has one value of each key", where=" ".join(checked.sweeps), fix=fix)
        check_presets(known, checked.groups)
        read = _read(known, checked.groups)
        replay = read.copy()
        replay.override([override for override in checked.values if not override.is_hydra_override()])
        leaves = {
            key: Origin(key, replay.history[key], _references(key, value, replay.tree)) for key, value in _leaves(replay.tree).items()
        }
        order = dict.fromkeys([*(group for group in groups(primary) if group in read.made.chosen), *read.made.chosen])
        chosen = {group: Origin(group, settings) for group in order if (settings := read.made.origin(group))}
    return leaves, chosen


def select(origins: dict[str, Origin], chosen: dict[str, Origin], key: str) -> tuple[dict[str, Origin], dict[str, Origin]]:
    """The leaves and choices at and below a key.

    Raises:
        ConfigError: there is none; names the nearest keys.
    """
    below = (f"{key}.", f"{key}[", f"{key}@")
    found = [{name: one for name, one in every.items() if name == key or name.startswith(below)} for every in (origins, chosen)]
    if not any(found):
        around = [name for name, one in origins.items() if key.startswith((f"{name}.", f"{name}["))]  # in a list, which is one leaf
        if around and not descend(origins[around[0]].value, key[len(around[0]) :])[2]:
            return {around[0]: origins[around[0]]}, {}
        raise _unknown(key, origins, chosen)
    return found[0], found[1]


def _unknown(key: str, origins: dict[str, Origin], chosen: dict[str, Origin]) -> ConfigError:
    sections = {name.rsplit(".", depth)[0] for name in origins for depth in range(name.count(".") + 1)} | set(chosen)
    near = [name for name in sorted(sections) if name.endswith(f".{key}")] or suggest(key, sections)
    return ConfigError(f"there is no key {key}", where="the composed config", fix=did_you_mean(near[:3]) if near else "segexp blame")


@functools.lru_cache(maxsize=64)
def _read(known: Catalogue, groups: tuple[str, ...]) -> _Replay:
    """The composition as far as files go; that of each group choice once, as in a sweep."""
    replay = _Replay(Choices(known, groups))
    with explained():
        for file in replay.made.files:
            replay.merge(file)
    return replay


class _Replay:
    """A composition, step by step.

    Args:
        made: its files.
    """

    def __init__(self, made: Choices) -> None:
        from omegaconf import OmegaConf

        self.made = made
        self.config: Any = OmegaConf.create()
        self.tree: dict[str, Any] = {}
        self.history: dict[str, tuple[Setting, ...]] = {}  # of each leaf, the newest first

    def copy(self) -> _Replay:
        twin = _Replay(self.made)
        twin.config, twin.tree, twin.history = copy.deepcopy(self.config), self.tree, self.history
        return twin

    def override(self, values: Sequence[Any]) -> None:
        """Apply value overrides, in the order in which they were typed."""
        from hydra._internal.config_loader_impl import ConfigLoaderImpl
        from omegaconf import OmegaConf

        OmegaConf.set_struct(self.config, True)
        for override in values:
            with explained():
                ConfigLoaderImpl._apply_overrides_to_config([override], self.config)
            self._note(_touched(override), Place(override=override.input_line), "")

    def merge(self, file: ReadFile) -> None:
        """Merge a file."""
        from omegaconf import OmegaConf

        content: Any = self.made.known.content(file.name)
        own = {key: file.place(key) for key in _leaves(content)}
        package = "" if file.package == "_global_" else file.package.removeprefix("_global_.")
        for name in reversed(package.split(".") if package else []):
            content = {name: content}
        content.pop("hydra", None)
        self.config.merge_with(OmegaConf.create(content))
        prefix = f"{package}." if package else ""
        self._note({f"{prefix}{key}": place for key, place in own.items()}, file.place(""), file.group)

    def _note(self, touched: dict[str, Place] | set[str], place: Place, group: str) -> None:
        """Put a step into the history.

        Args:
            touched: the leaves that it sets, with their places where they have some of their own.
            place: of whatever else it changed, as a reference that it turned into a section.
            group: whose choice brought the step.
        """
        after_tree = plain(self.config)
        before, after = _leaves(self.tree), _leaves(after_tree)
        gone = [key for key in before if key not in after]
        history: dict[str, tuple[Setting, ...]] = {}
        for key, value in after.items():
            if key not in touched and key in before and repr(before[key]) == repr(value):
                history[key] = self.history[key]
                continue
            own = touched[key] if isinstance(touched, dict) and key in touched else place
            history[key] = (Setting(value, own, group), *(self.history.get(key) or self._former(key, gone)))
        self.history, self.tree = history, after_tree

    def _former(self, key: str, gone: Sequence[str]) -> tuple[Setting, ...]:
        """What stood where a new leaf is: a value that has become a section, or a section that has become a value."""
        for name in gone:
            if key.startswith(f"{name}."):
                return self.history[name]
        below = [self.history[name][0] for name in gone if name.startswith(f"{key}.")]
        return (Setting(descend(self.tree, key)[1], below[-1].place, below[-1].group),) if below else ()


def _leaves(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in nodes(tree) if not (isinstance(value, dict) and value)}


def _touched(override: Any) -> set[str]:
    key, value = override.key_or_group, override.value()
    return {f"{key}.{leaf}" for leaf in _leaves(value)} if isinstance(value, dict) and value else {key}


def _references(key: str, value: Any, tree: dict[str, Any]) -> tuple[str, ...]:
    """The keys that a text, or one in a list, refers to and that exist."""
    found = []
    for name in REFERENCE.findall(repr(value)) if "${" in repr(value) else ():
        up = len(name) - len(name.lstrip("."))
        inside = key.split(".")[: -up or None] if up else []
        found.append(".".join([*inside, name.lstrip(".")]))
    return tuple(name for name in dict.fromkeys(found) if not descend(tree, name)[2])
