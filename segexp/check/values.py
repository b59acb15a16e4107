"""The keys and values of a composed config, judged by the signatures of what they go to; torch isn't imported.

A section with a ``_target_`` is judged by what that takes; sections of this project's own by what reads them, or by the
shipped value; whatever is null there and read by nobody here isn't judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from segexp.allow import advice, may_name
from segexp.catalogue import catalogue, descend, did_you_mean, nodes, plain, some, suggest
from segexp.check.kinds import choice, example, fits, typed, wanted
from segexp.config import resolve, session, unresolved
from segexp.errors import ConfigError
from segexp.runs.settings import CHECKS, ranked_faults
from segexp.signatures import Parameter, Signature, absent, signature
from segexp.sweeps.launchers import LAUNCHERS

if TYPE_CHECKING:
    from omegaconf import DictConfig

OURS = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")
READERS: dict[str, str | dict[str, str]] = {  # what takes the keys of a section without a target; of some by their `kind`
    "launcher": LAUNCHERS,
    "data.loader": "segexp.datamodule.LoaderOptions",
    "norm": "segexp.layers.renorm.renorm",
}
TEXTS = ("monitor", "weights.file", "weights.imported")  # null in the shipped config
# positional parameters that `segexp.build` fills: of a stage what the stages before it say, of others the model, the run
FILLED = {"backbone": 1, "decoder": 1, "head": 2, "loss": 1, "postprocess": 1, "metrics": 1, "fusion": 1, "optimizer": 1}
FILLED |= {"scheduler": 2, "callbacks": 1, "mixing": 0, "data": 0, "augmentation": 0, "protocol": 0, "trainer": 0}


@dataclass(frozen=True)
class Wrong:
    """A key that is wrong: what is, and what to type instead. Who said it is found out later (`segexp.check.places`)."""

    key: str
    what: str
    fix: str
    value: Any = None
    where: str = ""  # what to say where no key was set
    warning: bool = False  # a run would start all the same


def wrong_values(config: DictConfig, *, primary: str = "train") -> list[Wrong]:
    """Everything that is wrong with the keys and values of a config, by what the sources say.

    Args:
        config: composed, its interpolations kept.
        primary: its primary config's name.
    """
    if broken := list(_unresolved(config)):
        return broken
    tree = resolve(config)
    with session():
        shipped = catalogue(primary).content(primary)
    vain = [Wrong(key, what, fix, value) for key, value, what, fix in ranked_faults(config)]
    found = [*_settings(tree), *vain, *_sections(tree, "", shipped)]
    return list({one.key: one for one in reversed(found)}.values())[::-1]  # the first word on each key


def _unresolved(config: DictConfig) -> Iterator[Wrong]:
    """Interpolations that lead nowhere, and keys that have no value."""
    for key, value in nodes(plain(config)):
        if not (isinstance(value, (str, list)) and ("${" in str(value) or "???" in str(value))):
            continue
        try:
            OmegaConf.select(config, key, throw_on_missing=True)
            if isinstance(value, list):
                OmegaConf.to_container(OmegaConf.select(config, key), resolve=True, throw_on_missing=True)
        except Exception as error:
            said = unresolved(config, error, origin=key)
            yield Wrong(key, said.what, said.fix, value)


def _settings(tree: dict[str, Any]) -> Iterator[Wrong]:
    """What `segexp.runs.settings` says of the keys that this project reads itself."""
    for key, (right, must, sample) in CHECKS.items():
        _, value, rest = descend(tree, key)
        if not rest and not right(value):
            words = sample.split("|") if "|" in sample else []
            near = suggest(str(value), words)
            yield Wrong(
                key, f"{key} must be {must}", did_you_mean([f"{key}={word}" for word in near]) if near else f"{key}={sample}", value
            )


def _sections(tree: dict[str, Any], place: str, shipped: Any) -> Iterator[Wrong]:
    """The faults of a section and of those below it."""
    reader = READERS.get(place)
    target = tree.get("_target_", reader.get(str(tree.get("kind"))) if isinstance(reader, dict) else reader)
    judged = set()
    if target is not None:
        own = {name: value for name, value in tree.items() if name not in OURS and not (name == "kind" and isinstance(reader, dict))}
        machinery = set(shipped) if isinstance(shipped, dict) and "_target_" in tree else set()
        judged = own.keys() - machinery - _policies(place)
        yield from _of_target(target, {name: own[name] for name in own if name in judged}, tree, place)
    for name, value in tree.items():
        key = f"{place}.{name}".lstrip(".")
        default = shipped.get(name) if isinstance(shipped, dict) else None
        if isinstance(value, (dict, list)):
            yield from _inside(value, key, default)
        if name not in judged and name not in OURS and key not in CHECKS and not _in_group(place):
            yield from _by_default(key, value, default)


def _inside(value: Any, key: str, shipped: Any) -> Iterator[Wrong]:
    if isinstance(value, dict):
        yield from _sections(value, key, shipped)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _inside(item, f"{key}[{number}]", None)


def _in_group(place: str) -> bool:
    """Sections whose plain keys the shipped primary doesn't have."""
    return place in READERS


def _policies(place: str) -> set[str]:
    """Keys beside a target's own that settings.py judges."""
    return (
        {key.rpartition(".")[2] for key in CHECKS if key.rpartition(".")[0] == place} if place in ("trainer", "backbone", "data") else set()
    )


def _by_default(key: str, value: Any, default: Any) -> Iterator[Wrong]:
    """A plain key, by the kind of its shipped value."""
    kind = "str | None" if key in TEXTS else type(default).__name__
    if kind not in ("str | None", "int", "float", "bool", "str", "list") or fits(value, kind):
        return
    if key == "name" and isinstance(value, int):  # of a folder
        return
    yield _unfit(key, value, kind, default)


def _unfit(key: str, value: Any, annotation: str, default: Any) -> Wrong:
    near = choice(value, annotation) if isinstance(value, str) else ""
    sample = example(value, annotation, default)
    fix = f"{key}={sample}" if sample else f"{key}=<{wanted(annotation)}>"
    if near.startswith("did you mean"):
        fix = f"did you mean {key}={near.removeprefix('did you mean ')}"
    elif near and not sample:
        fix = f"{key}={near}"
    return Wrong(key, f"{wanted(annotation)} is wanted, not {_shown(value)}", fix, value)


def _shown(value: Any) -> str:
    kind = "the text " if isinstance(value, str) else "the list " if isinstance(value, list) else ""
    return f"{kind}{value if isinstance(value, str) else typed(value)}"


# ------------------------------------------------------------------------------------------------- targets


def _of_target(target: Any, own: dict[str, Any], node: dict[str, Any], place: str) -> Iterator[Wrong]:
    if not isinstance(target, str):
        yield Wrong(f"{place}._target_", "a target is the dotted name of a class or function", "name one", target)
        return
    if gone := absent(target):
        what = f"{gone.found} has no {gone.missing}" if gone.found else f"there is no module {gone.missing}"
        yield Wrong(f"{place}._target_", what, did_you_mean(gone.near) if gone.near else f"install or write {target}", target)
        return
    if "_target_" in node and not may_name(target):
        yield Wrong(f"{place}._target_", f"{target} is not among the targets that a config may call", advice(target), target)
        return
    if (found := signature(target)) is None:
        return
    named = found.named()
    yield from _unknown(found, named, own, place)
    for name, value in own.items():
        if (parameter := named.get(name)) and not fits(value, parameter.accepts, parameter.default):
            yield _unfit(f"{place}.{name}", value, parameter.accepts, _literal(parameter.default))
    if lacking := [p for p in _wanted(found, node, place) if p.name not in own and p.name not in node]:
        names = ", ".join(p.name for p in lacking)
        key = f"{place}.{lacking[0].name}"
        said = f" ({lacking[0].description})" if lacking[0].description else ""
        fix = f"give {key}=<{wanted(lacking[0].accepts) or 'a value'}>{said}"
        yield Wrong(key, f"{target} needs {names}", fix, None)


def _unknown(found: Signature, named: dict[str, Parameter], own: dict[str, Any], place: str) -> Iterator[Wrong]:
    if found.open:
        return
    taken = [p.name for p in named.values() if p.kind == "keyword"] or list(named)
    for name in own:
        if name not in named:
            near = [f"{place}.{option}".lstrip(".") for option in suggest(name, taken)]
            fix = (f"{did_you_mean(near)}; " if near else "") + f"it takes {some(taken) or 'none'}"
            yield Wrong(f"{place}.{name}".lstrip("."), f"{found.target} takes no key {name}", fix, own[name])


def _wanted(found: Signature, node: dict[str, Any], place: str) -> list[Parameter]:
    """The required parameters that nobody fills but the config."""
    required = [p for p in found.parameters if p.required]
    if "_args_" in node:
        return []
    if not node.get("_partial_"):
        return [p for p in required if "_target_" in node or p.kind == "keyword"]
    positional = [p for p in found.parameters if p.kind in ("positional", "any")]
    filled = {p.name for p in positional[: FILLED.get(place.partition(".")[0], len(positional))]}
    if place.startswith(("callbacks.", "logger.", "data", "scheduler")) or "." in place:
        filled = {p.name for p in positional}
    return [p for p in required if p.name not in filled and not (place.startswith("logger.") and p.name == "save_dir")]


def _literal(source: str | None) -> Any:
    import ast

    try:
        value = ast.literal_eval(source) if source else None
    except ValueError:
        return None
    return list(value) if isinstance(value, tuple) else value


# ------------------------------------------------------------------------------------------------- one error


def check_values(config: DictConfig, overrides: Sequence[str] = (), *, primary: str = "train") -> None:
    """Refuse a config whose keys or values don't fit what they go to, all at once.

    Args:
        config: composed.
        overrides: what it was composed of, to say who set a key.
        primary: its primary config's name.

    Raises:
        ConfigError: names each key, the file and line or the override that set it, and what fits.
    """
    if wrong := wrong_values(config, primary=primary):
        raise refusal(wrong, overrides, primary=primary)


def refusal(wrong: Sequence[Wrong], overrides: Sequence[str] = (), *, primary: str = "train") -> ConfigError:
    """One error that tells them all."""
    from segexp.check.places import places

    where = places({one.key: one.value for one in wrong}, overrides, primary)
    said = [one.what if not one.key or one.key in one.what else f"{one.key}: {one.what}" for one in wrong]
    return ConfigError(
        " / ".join(said),
        where=", ".join(dict.fromkeys(_where(one, where[one.key]) for one in wrong)),
        fix="; ".join(dict.fromkeys(one.fix for one in wrong)),
    )


def _where(one: Wrong, place: str) -> str:
    """Who set the key, and what of the chain, the data or the machine it is about, where that says more."""
    said = one.where if one.where and not one.where.startswith(f"{one.key}=") else ""
    return ", ".join(filter(None, (place, said))) or one.where or f"{one.key}={typed(one.value)}"
