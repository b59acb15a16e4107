"""Pretrained weights of the libraries' networks: fetching them, putting them in by name, and the colours they were trained on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from segexp.errors import ConfigError, WeightsError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def require_name(name: str, known: Iterable[str], *, library: str, also: str = "") -> None:
    """Refuse a name that a library doesn't know.

    Args:
        also: where else the user could look.

    Raises:
        ConfigError: gives the nearest names.
    """
    names = list(known)
    if name not in names:
        near = get_close_matches(name.split(".")[0], names, 3)
        hint = f"did you mean {' or '.join(near)}" if near else f"see {library}'s list"
        raise ConfigError(f"{library} has no network {name!r}", where="backbone.name", fix="; ".join(filter(None, (hint, also))))


def per_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """The values as they are for RGB, else their mean for every channel."""
    return tuple(values) if len(values) == channels else (sum(values) / len(values),) * channels


def fetched(name: str, fetch: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """What `fetch` downloads.

    Raises:
        WeightsError: there are no weights of this network, or they can't be fetched.
    """
    try:
        return fetch()
    except Exception as error:  # the libraries, the hub's client and the network fail in many ways
        reason = str(error).strip().split("\n")[0][:200]
        raise WeightsError(
            f"no pretrained weights of {name} from the hub: {reason}",
            where="backbone.weights=hub",
            fix="connect, or give a file: backbone.weights=<file.safetensors>",
        ) from error


def fill(net: nn.Module, state: dict[str, Tensor], *, name: str, library: str, source: str, alias: Callable[[str], str] = str) -> list[str]:
    """Copy weights into a network; all of it must be found, and only what lies outside of its parts may be left over: a classifier.

    Args:
        net: what is filled.
        state: the library's names to tensors; any float type. RGB weights fit other channel counts.
        name, library: of the network, for messages.
        source: where the weights come from, for messages.
        alias: brings a name to the form in which both sides agree.

    Returns:
        The names of `state` that the network has no place for (the classifier).

    Raises:
        WeightsError: a weight is missing, has another shape or isn't finite, or the file holds more of a part than the network has.
    """
    given, wanted = {alias(key): key for key in state}, net.state_dict()
    fix = f"give weights of {library}'s {name}"
    missing = [key for key in wanted if alias(key) not in given and not key.endswith("num_batches_tracked")]
    if missing:
        what = f"{len(missing)} of {len(wanted)} weights of {name} are not in the file, first {missing[0]}"
        raise WeightsError(what, where=source, fix=fix)
    found = {key: state[theirs] for key in wanted if (theirs := given.pop(alias(key), None)) is not None}
    for key, tensor in found.items():
        found[key] = tensor = _recoloured(tensor, wanted[key])
        if tensor.shape != wanted[key].shape:
            shapes = f"{tuple(tensor.shape)}, the network wants {tuple(wanted[key].shape)}"
            raise WeightsError(f"{key} has shape {shapes}", where=source, fix=fix)
        if not tensor.float().isfinite().all():
            raise WeightsError(f"{key} has values that are NaN or infinite", where=source, fix="take an earlier checkpoint")
    _refuse_statistics(given, {alias(key) for key in found}, name, source)
    _refuse_more_of_a_part(net, given.values(), name, library, source, alias)
    plain = {key: value.float() if value.is_floating_point() else value for key, value in found.items()}
    nn.Module.load_state_dict(net, plain, strict=False)  # some networks bring a form of their own, which takes no `strict`
    return sorted(given.values())


def _refuse_statistics(left: dict[str, str], found: Collection[str], name: str, source: str) -> None:
    """Weights of BatchNorms without their statistics compute something else in norms of another kind, which have none."""
    for key, theirs in left.items():
        if key.endswith("running_mean") and key.removesuffix("running_mean") + "weight" in found:
            what = f"{theirs} is left over: the weights were trained with BatchNorm, which {name} has no longer"
            raise WeightsError(what, where=source, fix="norm.type=null, or train from scratch: backbone.weights=null")


def _refuse_more_of_a_part(net: nn.Module, left: Iterable[str], name: str, library: str, source: str, alias: Callable[[str], str]) -> None:
    """What is left over lies outside of the network's parts, or the weights are of a deeper network."""
    parts = {alias(part) for part in _parts(net)}
    more = sorted(key for key in left if not key.endswith("num_batches_tracked") and any(alias(way) in parts for way in _above(key)))
    if more:
        what = f"{len(more)} weights are of parts that {name} has, but not of {name} (first {', '.join(more[:2])})"
        fix = f"give weights of {library}'s {name}, or choose the network that they are of, such as a deeper one"
        raise WeightsError(what, where=source, fix=fix)


def _parts(net: nn.Module) -> list[str]:
    """Names of the parts in a row that a network consists of; where one module holds all of them (`features`), those in it.

    A network that is cut after its last level lacks whole parts, but holds no half of one.
    """
    path, module = "", net
    while True:
        children = [name for name, child in module.named_children() if child.state_dict()]
        if len(children) != 1 or not list(module.get_submodule(children[0]).children()):
            return [path + name for name in children]
        path, module = f"{path}{children[0]}.", module.get_submodule(children[0])


def _above(key: str) -> Iterator[str]:
    """`a.b.weight`: `a`, `a.b`."""
    names = key.split(".")
    return (".".join(names[:n]) for n in range(1, len(names)))


def _recoloured(tensor: Tensor, wanted: Tensor) -> Tensor:
    """The weights of a convolution on RGB for other channels: one is their sum, several take turns and share the scale."""
    if not (tensor.ndim == wanted.ndim == 4 and tensor.shape[1] == 3 != wanted.shape[1] and tensor.shape[2:] == wanted.shape[2:]):
        return tensor
    channels = wanted.shape[1]
    turns = torch.arange(channels) % 3
    return tensor.float().sum(1, keepdim=True) if channels == 1 else tensor.float()[:, turns] * (3 / channels)
