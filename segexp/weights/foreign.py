"""Foreign checkpoints into our models: by rules of names, strictly, with a report that says where each weight went."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from segexp.errors import WeightsError
from segexp.weights.dialects import flat, spellings
from segexp.weights.load import HEAD, load_state, read_state, require_finite
from segexp.weights.looks import looks_like
from segexp.weights.schemes import BODY, OURS, SCHEMES, Scheme, detect, scheme_named

FIRST_CONVOLUTION = (f"{BODY}conv1.weight", "conv1.weight")  # of a whole model, of a backbone
LOW_LEVEL = ".reduce.0.weight"  # of the stages of a DeepLabv3+ decoder
COUNTER = "num_batches_tracked"  # of BatchNorm: plays no part in what a model computes, and older files lack it


@dataclass(frozen=True)
class Placed:
    """Where the weights of a file go.

    Args:
        places: their name -> ours.
        left: their names that found no place -> the places that the rules know, none of which this model has.
        missing: our names that nothing goes to; BatchNorm's counters never are.
    """

    places: dict[str, str]
    left: dict[str, tuple[str, ...]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def placed(names: Iterable[str], wanted: Collection[str], scheme: Scheme) -> Placed:
    """Give each name of a file its place in a model.

    Args:
        names: of the file's tensors.
        wanted: the model's names.
        scheme: whose names the file's are.
    """
    ours = {flat(name): name for name in wanted}
    places: dict[str, str] = {}
    left: dict[str, tuple[str, ...]] = {}
    taken: set[str] = set()
    for name in names:
        targets = scheme.targets(name)
        place = next((ours[flat(way)] for way in _ways(targets) if flat(way) in ours), None)
        if place is None or place in taken:
            left[name] = tuple(targets)
        else:
            places[name] = place
            taken.add(place)
    missing = tuple(sorted(name for name in wanted if name not in taken and not name.endswith(COUNTER)))
    return Placed(places, {name: way for name, way in left.items() if not name.endswith(COUNTER)}, missing)


def _ways(targets: Iterable[str]) -> Iterable[str]:
    for target in targets:
        if target.startswith(BODY):
            yield from (BODY + spelling for spelling in spellings(target.removeprefix(BODY)))
        else:
            yield target


@dataclass(frozen=True)
class Imported:
    """The report of an import.

    Args:
        scheme: whose names the file had.
        title: the same in words.
        placed: where the weights went.
        skipped: their names that were left out on purpose.
        idle: their names without a place here that serve training only.
        fresh: our names that keep their random values on purpose.
    """

    scheme: str
    title: str
    placed: Placed
    skipped: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain containers, for `import.json`."""
        kept = {"skipped": list(self.skipped), "left_over": list(self.idle), "random": list(self.fresh)}
        return {"scheme": self.scheme, "title": self.title, "places": dict(sorted(self.placed.places.items())), **kept}


def load_foreign(model: nn.Module, state: Mapping[str, Tensor], scheme: Scheme, *, where: str, without: str | None = None) -> Imported:
    """Fill a model with a file's weights: each must have a place and the shape of it, and none may lack.

    Args:
        model: what is filled; unchanged where anything doesn't fit.
        state: the file's tensors.
        scheme: whose names they have.
        where: the file, for messages.
        without: what begins so in the model stays as it is, and the weights that would go there are left out.

    Raises:
        WeightsError: names missing, left over or of another shape, and says what the file looks like; or values that aren't finite.
    """
    wanted = model.state_dict()
    found = placed(state, wanted, scheme)
    skip = {theirs for theirs, ours in found.places.items() if without and ours.startswith(without)}
    skip |= {theirs for theirs, ways in found.left.items() if without and any(way.startswith(without) for way in ways[:1])}
    idle = {name for name in found.left if name.startswith(scheme.idle) and name not in skip} if scheme.idle else set()
    missing = [name for name in found.missing if not (without and name.startswith(without))]
    left = {name: way for name, way in found.left.items() if name not in skip | idle}
    places = {theirs: ours for theirs, ours in found.places.items() if theirs not in skip}
    shapes = {theirs: ours for theirs, ours in places.items() if state[theirs].shape != wanted[ours].shape}
    if missing or left or shapes:
        raise _misfit(state, wanted, scheme, where, missing, left, shapes)
    require_finite({theirs: state[theirs] for theirs in places}, where)
    filled = wanted | {ours: state[theirs].to(wanted[ours].dtype) for theirs, ours in places.items()}
    filled = _in_our_order(filled) if scheme.low_first else filled
    model.load_state_dict(_of_rgb(filled) if scheme.bgr else filled)
    fresh = tuple(name for name in wanted if without and name.startswith(without))
    return Imported(scheme.name, scheme.title, Placed(places), tuple(sorted(skip)), tuple(sorted(idle)), fresh)


def _of_rgb(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that read an image of blue, green and red, for one of red, green and blue."""
    return {name: value.flip(1) if name in FIRST_CONVOLUTION else value for name, value in state.items()}


def _in_our_order(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that read a concatenation of low and high, for one of high and low: the first convolution of each fusion."""
    ordered = dict(state)
    for name, value in state.items():
        stage, found, _ = name.partition(LOW_LEVEL)
        if not found:
            continue
        first = state[f"{stage}.fuse.0.0.weight"]  # dense [out,in,k,k], or depthwise [in,1,k,k]
        low, total = len(value), first.shape[0 if first.shape[1] == 1 else 1]
        ordered |= {key: _rolled(x, low, total) for key, x in state.items() if key.startswith(f"{stage}.fuse.0.")}
    return ordered


def _rolled(value: Tensor, low: int, total: int) -> Tensor:
    """The first `low` of `total` channels at the end, in whichever of the first two dimensions they are."""
    for dimension, size in enumerate(value.shape[:2]):
        if size == total:
            value = value.roll(-low, dimension)
    return value


def _misfit(
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    scheme: Scheme,
    where: str,
    missing: list[str],
    left: Mapping[str, tuple[str, ...]],
    shapes: Mapping[str, str],
) -> WeightsError:
    parts = [f"{len(missing)} of {len(wanted)} weights of the model are not in the file (first {missing[0]})"] if missing else []
    parts += [f"{len(left)} of the file are left over (first {next(iter(left))})"] if left else []
    if shapes:
        theirs, ours = next(iter(shapes.items()))
        sizes = f"{tuple(state[theirs].shape)}, {ours} wants {tuple(wanted[ours].shape)}"
        parts.append(f"{len(shapes)} of another shape (first {theirs}: {sizes})")
    what = f"the weights don't fit the model, read as {scheme.title}'s names (scheme={scheme.name}): {'; '.join(parts)}"
    return WeightsError(what, where=where, fix=_what_fits(state, wanted, scheme, missing, left, shapes))


def _what_fits(
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    scheme: Scheme,
    missing: list[str],
    left: Mapping[str, tuple[str, ...]],
    shapes: Mapping[str, str],
) -> str:
    """Advice: what to leave out, another data set, another scheme, or the overrides of the model that the file looks like."""
    stray = len(left) == 1 or not any(left.values())  # a part of another model is more than one weight, with places in the rules
    if not missing and stray and all(name.startswith(HEAD) for name in shapes.values()):
        first = ", ".join(list(left)[:4]) + (", ..." if len(left) > 4 else "")
        parts = [f"the file has all of this model: store it without {first}"] if left else []
        return "; ".join(parts + ([_other_classes(state, wanted, shapes)] if shapes else []))
    if not missing and left and all(name.endswith(("running_mean", "running_var")) for name in left):
        return "the weights were trained with BatchNorm, which the model has no longer: norm.type=null"
    if (seen := detected(state)) not in (None, OURS, scheme.name):
        return f"the names look like those of {SCHEMES[str(seen)].title}: scheme={seen}"
    if scheme.name == "timm":
        return "the file holds a classifier: backbone.weights=<file> takes it for a backbone"
    look = looks_like(state, scheme)
    return f"the file {look}" if look else "choose the model, the backbone and its keys as they were trained"


def _other_classes(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], shapes: Mapping[str, str]) -> str:
    theirs, ours = next(iter(shapes.items()))
    classes = f"the file has {len(state[theirs])} classes, the data set {len(wanted[ours])}"
    return f"{classes}: data=<one with {len(state[theirs])}>, or to train from these weights with a new head: weights.skip_head=true"


def detected(state: Iterable[str]) -> str | None:
    """Whose names these are; None where nobody's that is known."""
    try:
        return detect(state)
    except WeightsError:
        return None


def load_weights(model: nn.Module, path: Path, *, without: str | None = None, scheme: str = "auto") -> Imported | None:
    """Fill a model with a checkpoint of this project, or of any scheme that is known.

    Args:
        model: what is filled.
        path: the file.
        without: what begins so in the model stays as it is.
        scheme: whose names the file has; `auto`: by the names.

    Returns:
        Where a foreign file's weights went; None for a file of this project.

    Raises:
        ConfigError: there is no such scheme.
        WeightsError: the file can't be read, doesn't fit the model, or has values that aren't finite.
    """
    rules = None if scheme == "auto" else scheme_named(scheme)
    state = read_state(path)
    if rules is None and (seen := detect(state, where=str(path))) != OURS:
        rules = SCHEMES[seen]
    if rules is None:
        require_finite({name: value for name, value in state.items() if not (without and name.startswith(without))}, str(path))
        load_state(model, state, path, without=without)
        return None
    return load_foreign(model, state, rules, where=str(path), without=without)


def backbone_part(state: Mapping[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """What of a file is a backbone's, under the names of the network that is to take it.

    Args:
        state: a file's tensors: a whole segmenter's of any scheme, a classifier's, or those of this project.
        wanted: the network's names, without `backbone.net.`.

    Returns:
        name -> tensor; so also what the network has no place for.
    """
    scheme = detected(state)
    if scheme == OURS:
        return {name.removeprefix(BODY): value for name, value in state.items() if name.startswith(BODY)}
    if scheme is None:
        return dict(state)
    rules = SCHEMES[scheme]
    found = placed(state, [BODY + name for name in wanted], rules)
    taken = {ours.removeprefix(BODY): state[theirs] for theirs, ours in found.places.items()}
    modules = {flat(name.rpartition(".")[0]) for name in wanted}
    left = {_spelt(ways[0], modules): state[name] for name, ways in found.left.items() if ways and ways[0].startswith(BODY)}
    return left | (_of_rgb(taken) if rules.bgr else taken)


def _spelt(place: str, modules: Collection[str]) -> str:
    """The name that a network without this weight would give it: by the module that would hold it, where it has that."""
    ways = list(spellings(place.removeprefix(BODY)))
    return next((way for way in ways if flat(way.rpartition(".")[0]) in modules), ways[0])
