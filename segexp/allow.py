"""What a config may call: the rules for ``_target_``, and the way from its text to the object.

A config is data, also one that stands in a run or comes from somebody else. Its text must lie in an allowed package before
anything is imported, since importing runs code, and what is found must be a class or function that is defined in one.
A config can't allow anything: that is for programs (`allow`) and the command line (``--allow=<package>``).
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from types import ModuleType
from typing import Any

from segexp.catalogue import did_you_mean, likeness, suggest
from segexp.errors import ConfigError

ENTRY_POINTS = "segexp.conf"  # group of entry points whose values name packages of configs

# of segexp: the folders of stages; their classes, and the functions of their modules
STAGES = tuple(
    f"segexp.{name}"
    for name in (
        *("data", "augmentation", "backbones", "decoders", "heads", "fusion", "losses", "postprocess", "protocols", "metrics"),
        *("optim", "callbacks"),
    )
)
# of others: classes alone, for among the functions are some that load or write files. What is named here is defined in
# the packages on the right. Left out is whatever fetches weights or replaces the safe reading of checkpoints.
LIBRARIES = {
    "torch.nn": ("torch.nn",),
    "torch.optim": ("torch.optim",),
    "pytorch_lightning.Trainer": ("pytorch_lightning.trainer.trainer",),
    "pytorch_lightning.callbacks": ("pytorch_lightning.callbacks",),
    "pytorch_lightning.loggers": ("pytorch_lightning.loggers",),
    "pytorch_lightning.profilers": ("pytorch_lightning.profilers",),
    "pytorch_lightning.strategies": ("pytorch_lightning.strategies",),
    "pytorch_lightning.plugins": (
        "pytorch_lightning.plugins.layer_sync",
        "pytorch_lightning.plugins.precision",
        "lightning_fabric.plugins.environments",
    ),
    "torchmetrics.aggregation": ("torchmetrics.aggregation",),
    "torchmetrics.classification": ("torchmetrics.classification",),
    "torchmetrics.detection": ("torchmetrics.detection",),
    "torchmetrics.segmentation": ("torchmetrics.segmentation",),
    "torchvision.ops": ("torchvision.ops",),
    "torchvision.transforms": ("torchvision.transforms",),
    "timm.layers": ("timm.layers",),
    "timm.loss": ("timm.loss",),
    "timm.optim": ("timm.optim",),
    "timm.scheduler": ("timm.scheduler",),
    "segmentation_models_pytorch.losses": ("segmentation_models_pytorch.losses",),
}

_added: tuple[str, ...] = ()


def allow(*prefixes: str) -> None:
    """Let configs name the public classes and functions that are defined below these packages or modules, in this process.

    Args:
        prefixes: such as ``mylab`` or ``mylab.models``.

    Raises:
        ConfigError: one is no dotted name.
    """
    global _added
    for prefix in prefixes:
        if not all(part.isidentifier() for part in prefix.split(".")):
            raise ConfigError("a package is missing or no dotted name", where=f"--allow={prefix}", fix="--allow=<package>")
    _added = tuple(dict.fromkeys([*_added, *prefixes]))


def allowed() -> tuple[str, ...]:
    """What `allow` added, for the child processes of a program."""
    return _added


def command(overrides: Sequence[str], *flags: str) -> str:
    """A `segexp train` command, ready to paste, with what was allowed."""
    return shlex.join(["segexp", "train", *flags, *(f"--allow={prefix}" for prefix in allowed()), *overrides])


def located(target: Any, key: str = "") -> Callable[..., Any]:
    """What a ``_target_`` names.

    Args:
        target: the value of ``_target_``.
        key: the place of its node in the config, for messages.

    Raises:
        ConfigError: a config may not call it; there is no such module or attribute, with the nearest; or the module's
            own import fails.
    """
    where = f"{key}._target_: {target}".lstrip(".")
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        raise ConfigError("a target is the dotted name of a class or function", where=where, fix="name one, or leave the node out")
    top = target.partition(".")[0]
    if not _installed(top):
        near = [".".join([name, *target.split(".")[1:]]) for name in suggest(top, _members(None))]
        raise ConfigError(f"there is no module {top}", where=where, fix=did_you_mean(near) if near else f"install or write {target}")
    if not may_name(target):
        raise _refused(target, where)
    found = _found(target, where)
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        raise ConfigError(f"{target} can't be called", where=where, fix="name a class or a function")
    if not _may_call(found):
        raise _refused(target, where, f"{_origin(found)}.{found.__qualname__}")
    return found


# ------------------------------------------------------------------------------------------------- rules


def may_name(target: str) -> bool:
    """Whether the text of a target alone is in order: below an allowed package, and nothing private of it. Imports nothing."""
    prefix = _below(target, (*STAGES, *LIBRARIES)) or _below(target, _trusted())
    return bool(prefix) and not any(part.startswith("_") for part in target.removeprefix(prefix).split("."))


def _may_call(found: Any, trusted: Iterable[str] | None = None) -> bool:
    """Whether this is a class or function that is defined where a config may call it.

    Args:
        found: any object.
        trusted: the packages with no further rules, where they have been looked up already.
    """
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        return False
    origin = _origin(found)
    if inspect.isclass(found) and _below(origin, [*STAGES, *(place for places in LIBRARIES.values() for place in places)]):
        return True
    if inspect.isfunction(found) and "." not in found.__qualname__ and _below(origin, STAGES):
        return True
    return bool(_below(origin, _trusted() if trusted is None else trusted))


def _origin(found: Any) -> str:
    return str(getattr(found, "__module__", None))  # some built-in ones have none


def _trusted() -> tuple[str, ...]:
    """What was allowed, and the packages of installed distributions that add configs: to install one is to run its code."""
    tops = {point.value.partition(":")[0].partition(".")[0].strip() for point in metadata.entry_points(group=ENTRY_POINTS)}
    return (*_added, *sorted(tops - sys.stdlib_module_names))


def _below(name: str, prefixes: Iterable[str]) -> str:
    """The prefix that a dotted name is or stands below; empty if there is none."""
    return next((prefix for prefix in prefixes if name == prefix or name.startswith(f"{prefix}.")), "")


# ------------------------------------------------------------------------------------------------- finding


def _found(target: str, where: str) -> Any:
    """The object, by the steps that Hydra takes; a module is entered by its own name only, not where another imports it."""
    parts = target.split(".")
    found = _imported(parts[0], where)
    for number, name in enumerate(parts[1:], 1):
        if inspect.ismodule(found) and not hasattr(found, name) and (module := _imported(".".join(parts[: number + 1]), where)):
            found = module
            continue
        if not hasattr(found, name):
            near = [".".join([*parts[:number], option, *parts[number + 1 :]]) for option in suggest(name, _members(found))]
            fix = did_you_mean(near) if near else f"install or write {target}"
            raise ConfigError(f"{'.'.join(parts[:number])} has no {name}", where=where, fix=fix)
        found = getattr(found, name)
        if inspect.ismodule(found) and found.__name__ != ".".join(parts[: number + 1]):
            raise _refused(target, where)
    return found


def _imported(name: str, where: str) -> ModuleType | None:
    """A module, or None if there is none of that name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return None
        raise ConfigError(f"{name} needs {error.name}, which isn't installed", where=where, fix=f"install {error.name}") from error
    except Exception as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{name} can't be imported: {type(error).__name__}: {said}", where=where, fix=f"mend {name}") from error


def _installed(top: str) -> bool:
    """Whether there is a top-level module of this name; imports nothing."""
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return top in sys.modules


def _members(found: Any) -> set[str]:
    """What could follow in a target: modules of a package, and classes and functions that may be called; of None, top-level modules."""
    if found is None:
        return {module.name for module in pkgutil.iter_modules()}
    trusted = _trusted()
    modules = (module.name for module in pkgutil.iter_modules(getattr(found, "__path__", ())))
    callables = (name for name, value in getattr(found, "__dict__", {}).items() if _may_call(value, trusted))
    return {name for name in (*modules, *callables) if not name.startswith("_")}


# ------------------------------------------------------------------------------------------------- refusals


def _refused(target: str, where: str, origin: str = "") -> ConfigError:
    """The error for what a config may not call; `origin` is where it is defined, if that is known."""
    subject = target if origin in ("", target) else f"{target} is {origin}, which"
    near = _near(target)
    fix = did_you_mean(near) if near else advice(origin or target)
    return ConfigError(f"{subject} is not among the targets that a config may call", where=where, fix=fix)


def advice(target: str) -> str:
    """What to do about a target that a config may not call."""
    top, module = target.partition(".")[0], target.rpartition(".")[0]
    if top in sys.stdlib_module_names:
        return "leave it out, or wrap it in a package of your own and give --allow=<your package>"
    if places := [place for place in (*STAGES, *LIBRARIES) if place.startswith(f"{top}.")]:
        return f"name a class of {', '.join(places)}; --allow={module} if you trust what it does"
    return f"--allow={top} if you trust the package"


def _near(target: str) -> list[str]:
    """Targets that exist and may be called, where what is misspelt in this one is the name of an allowed package."""
    parts = target.split(".")
    found = []
    for place in (*_added, *STAGES, *LIBRARIES):
        depth = place.count(".") + 1
        candidate = ".".join([place, *parts[depth:]])
        if candidate != target and likeness(".".join(parts[:depth]), place) >= 0.85 and may_name(candidate) and _is_there(candidate):
            found.append(candidate)
    return found[:3]


def _is_there(target: str) -> bool:
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None) if module else None
    except Exception:  # whatever an import of a name that is only guessed may raise
        return False
    return _may_call(found)
