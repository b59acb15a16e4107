"""The door to Hydra: sessions, composition, plugins, and the one place that turns config nodes into objects.

Nothing here touches Hydra's global state at import, and everything works without torch.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from segexp.allow import ENTRY_POINTS, located
from segexp.catalogue import Catalogue, catalogue, descend, did_you_mean, explained, nodes, paths, plain, remembered, some, suggest
from segexp.errors import ConfigError, SegexpError
from segexp.functional.references import follow
from segexp.overrides import check_overrides
from segexp.presets import check_presets
from segexp.secrets import leaves, refuse_literals

if TYPE_CHECKING:
    from hydra.plugins.search_path_plugin import SearchPathPlugin
    from omegaconf import DictConfig

T = TypeVar("T")
VERSION_BASE = "1.3"


def conf_dir() -> Path:
    """The folder of configs: beside this module in a wheel, beside the package in a checkout.

    Raises:
        ConfigError: neither holds ``train.yaml``.
    """
    here = Path(__file__).resolve().parent
    places = (here / "conf", here.parent / "conf")
    for place in places:
        if (place / "train.yaml").is_file():
            return place
    raise ConfigError("the configs are missing", where=" and ".join(map(str, places)), fix="install segexp again")


# ------------------------------------------------------------------------------------------------- sessions


_folders: ContextVar[tuple[tuple[str, Path], ...]] = ContextVar("folders", default=())
_open: ContextVar[Path | None] = ContextVar("open", default=None)


@contextmanager
def session(conf: Path | None = None) -> Iterator[None]:
    """Hydra initialised on the config tree and on what installed packages add to it.

    What was initialised before is put back at the end. Within an open session of the same folder this is free, and
    compositions share what has been read: wrap a loop over jobs in one.

    Args:
        conf: the folder of configs; segexp's own unless given.

    Raises:
        ConfigError: an installed package names a folder that doesn't exist.
    """
    folder = (conf or conf_dir()).resolve()
    if _open.get() == folder:
        yield
        return
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.plugins import Plugins

    Plugins.instance().register(_search_path_plugin())
    before = GlobalHydra.instance().hydra
    with _bound(_folders, plugin_folders()), _bound(_open, folder), _bound(remembered, {}):
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(folder), version_base=VERSION_BASE, job_name="segexp"):
                yield
        finally:
            GlobalHydra.instance().hydra = before


@contextmanager
def _bound(variable: ContextVar[T], value: T) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@functools.cache
def _search_path_plugin() -> type[SearchPathPlugin]:
    from hydra.core.config_search_path import ConfigSearchPath
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class InstalledConfigs(SearchPathPlugin):
        """Appends the folders of installed packages; outside a session there are none, and other programs see nothing of it."""

        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for name, folder in _folders.get():
                search_path.append(provider=f"{ENTRY_POINTS}: {name}", path=str(folder))

    return InstalledConfigs


def plugin_folders() -> tuple[tuple[str, Path], ...]:
    """(Entry-point name, folder of configs) of each installed package that adds options, by name; none is imported.

    Raises:
        ConfigError: an entry point names no folder; names the distribution.
    """
    points = sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    return tuple((point.name, _folder_of(point)) for point in points)


def _folder_of(point: metadata.EntryPoint) -> Path:
    top, *below = point.value.partition(":")[0].strip().split(".")
    try:
        spec = importlib.util.find_spec(top)  # of a top-level name: imports nothing
    except (ImportError, ValueError):
        spec = None
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if Path(place, *below).is_dir():
            return Path(place, *below)
    owner = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
    raise ConfigError(
        f"{owner} says that its configs are in {point.value}, and there is no such folder",
        where=f"entry point {point.name} of the group {ENTRY_POINTS}",
        fix=f"mend or uninstall {point.dist.name if point.dist else point.name}",
    )


# ------------------------------------------------------------------------------------------------- composition


def compose(primary: str, overrides: Sequence[str] = (), *, conf: Path | None = None) -> DictConfig:
    """Compose a config: struct mode, interpolations kept, without Hydra's own node.

    Args:
        primary: ``train``, ``evaluate``, ...
        overrides: as on the command line.
        conf: the folder of configs; segexp's own unless given.

    Raises:
        ConfigError: an override names something that doesn't exist, the files don't compose, or a secret stands in them.
    """
    with session(conf):
        known: Catalogue = catalogue(primary, overrides)
        checked = check_overrides(primary, overrides)
        if checked.sweeps:
            raise ConfigError(
                f"{', '.join(checked.sweeps)} {'is a sweep' if len(checked.sweeps) == 1 else 'are sweeps'}",
                where="one config was asked for",
                fix="add -m to run all, write [a,b] for a list, or quote the value for text with a comma",
            )
        check_presets(known, checked.groups)
        base = known.base(checked.groups)
        config = copy.deepcopy(base.config)
        with explained():
            from hydra._internal.config_loader_impl import ConfigLoaderImpl

            values = [override for override in checked.values if not override.is_hydra_override()]
            ConfigLoaderImpl._apply_overrides_to_config(values, config)  # what Hydra does after reading the files
        _refuse_secrets(config)
        return config


def _refuse_secrets(config: DictConfig) -> None:
    values = dict(leaves(plain(config)))
    refuse_literals({key: follow(value, values) for key, value in values.items()})


def outputs_dir(overrides: Sequence[str] = ()) -> Path:
    """The folder of runs: `paths.outputs`, under the overrides of `paths` among those given."""
    chosen = [override for override in overrides if override.startswith("paths")]
    return Path(resolve(compose("train", chosen))["paths"]["outputs"])


def resolve(config: DictConfig) -> dict[str, Any]:
    """The config as plain containers with every interpolation resolved.

    Raises:
        ConfigError: names the key that refers to nothing, needs a variable that isn't set, or has no value.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        resolved: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise unresolved(config, error) from error
    return resolved


def unresolved(config: DictConfig, error: Exception, place: str = "", *, origin: str | None = None) -> ConfigError:
    """What OmegaConf raised when it resolved a config, for people.

    Args:
        config: all of it, or the node at `place`.
        error: what was raised.
        place: of the config.
        origin: the key in it that can't be resolved, where that is known; else it is looked for.
    """
    from omegaconf.errors import MissingMandatoryValue

    tree, text = plain(config), _line(error)
    nowhere = re.search(r"Interpolation key '([^']+)' not found", text)
    unset = re.search(r"Environment variable '([^']+)' not found", text)
    empty = isinstance(error, MissingMandatoryValue)
    mark = f"${{{nowhere[1]}}}" if nowhere else f"oc.env:{unset[1]}" if unset else "???" if empty else None
    if origin is None:
        origin = next((path for path, value in nodes(tree) if isinstance(value, str) and mark and mark in value), "")
    key = f"{place}.{origin}".strip(".") if origin else getattr(error, "full_key", None) or place or "the config"
    where = f"{key}: {descend(tree, origin)[1]}" if origin else key
    if nowhere:
        near = suggest(nowhere[1], paths(tree), cutoff=0.75)
        return ConfigError(
            f"{key} refers to {nowhere[1]}, which doesn't exist", where=where, fix=did_you_mean(near) if near else f"give {key}=..."
        )
    if unset:
        fix = f"export {unset[1]}=..., or give {key}=..."
        return ConfigError(f"{key} needs the environment variable {unset[1]}, which isn't set", where=where, fix=fix)
    if empty:
        return ConfigError(f"{key} has no value", where=where, fix=f"give {key}=...")
    return ConfigError(f"{key} can't be resolved: {text}", where=where, fix=f"give {key}=...")


# ------------------------------------------------------------------------------------------------- objects


def make(node: Any, *, key: str = "") -> Any:
    """The object that a config node describes; of a node with ``_partial_: true`` the partial, to be completed in Python.

    Args:
        node: a node with ``_target_``, or a mapping or list of such nodes; None gives None.
        key: the node's place in the config where it has been cut out of it, for messages.

    Raises:
        ConfigError: a config may not call a target (see `segexp.allow`), or it doesn't exist, doesn't take a key, or
            fails; what a constructor raises as a `SegexpError` passes unchanged.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if node is None:
        return None
    if not isinstance(node, (dict, list)) and not OmegaConf.is_config(node):
        raise ConfigError(f"{node!r} is no section", where=key, fix="give a mapping with a _target_")
    config = node if OmegaConf.is_config(node) else OmegaConf.create(node, flags={"allow_objects": True})
    place = key or config._get_full_key(None)
    try:
        tree = OmegaConf.to_container(config, resolve=True)
        _check_targets(tree, place)
        # what was checked is what is made: a reference could resolve to something else a second time
        checked = OmegaConf.create({place: tree}, flags={"allow_objects": True})[place]
        return instantiate(checked, _convert_="all")
    except SegexpError:
        raise
    except OmegaConfBaseException as error:
        raise unresolved(config, error, place) from error
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, SegexpError):
            raise cause from None
        target, inner = (re.search(pattern, str(error)) for pattern in (r"target '([\w.]+)'", r"full_key: (\S+)"))
        raise _failure(target[1] if target else "", inner[1] if inner else place, cause) from error


def complete(stage: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a partial that `make` gave, with what its stage is completed with.

    Raises:
        ConfigError: the constructor failed; a `SegexpError` of its own passes unchanged.
    """
    try:
        return stage(*args, **kwargs)
    except SegexpError:
        raise
    except Exception as error:
        made = stage.func if isinstance(stage, functools.partial) else stage
        name = f"{made.__module__}.{made.__qualname__}" if hasattr(made, "__qualname__") else type(made).__name__
        raise _failure(name, getattr(stage, "_hydra_full_key", ""), error) from error


def _failure(target: str, key: str, error: BaseException) -> ConfigError:
    said = f"{type(error).__name__}: {_line(error)}" if target else _line(error)
    what = f"{target} can't be made from these keys: {said}" if target else said
    return ConfigError(what, where=key, fix=f"change {key}.* or choose another {key.split('.')[0]}" if key else "change its keys")


def _line(error: BaseException) -> str:
    return " ".join(re.sub(r"\s+full_key: \S+|\s+object_type=\S+", "", str(error)).split())


def _check_targets(tree: Any, key: str) -> None:
    """Refuse what a config may not call, targets that don't exist and keys that they don't take, at every depth.

    It sees partials, too, which would fail only later, and text that would be taken for a reference once more.
    """
    if isinstance(tree, str) and "${" in tree:
        raise ConfigError("after all references were resolved one is left", where=f"{key}: {tree}".lstrip("."), fix="give the value itself")
    if isinstance(tree, list):
        for number, item in enumerate(tree):
            _check_targets(item, f"{key}[{number}]")
    if isinstance(tree, dict):
        if "_target_" in tree:
            _check_keys(located(tree["_target_"], key), tree, key)
        for name, item in tree.items():
            _check_targets(item, f"{key}.{name}".lstrip("."))


def _check_keys(target: Callable[..., Any], node: dict[str, Any], key: str) -> None:
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # some built-in callables don't tell
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    own = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY] or [p.name for p in parameters]
    taken = {p.name for p in parameters} | {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}
    if wrong := [name for name in node if name not in taken]:
        near = [option for name in wrong for option in suggest(name, own)[:1]]
        raise ConfigError(
            f"{node['_target_']} takes no key {', '.join(wrong)}",
            where=", ".join(f"{key}.{name}".lstrip(".") for name in wrong),
            fix=(f"{did_you_mean(near)}; " if near else "") + f"it takes {some(own) or 'none'}",
        )
