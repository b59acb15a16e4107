"""Does a chain of stages fit together? Answered from what the stages declare, before any data are opened.

A head declares `output_type` (a class, or a record `{name: class}`) and `needs`; a loss `accepts` and `needs`;
a postprocess `accepts` and `provides`; metrics `needs`. Kinds of annotation form a lattice: the richer give the poorer.
A loss that learns of things alone says `needs_things`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, product
from typing import Any

from segexp.errors import WiringError

# What each kind gives directly. Truth and predictions differ on purpose: an argmax field is not the fusion of
# predicted segments, and detections don't make an image label.
TARGET_LATTICE: Mapping[str, frozenset[str]] = {
    "segments": frozenset({"masks", "semantic", "label", "present"}),
    "masks": frozenset({"boxes"}),
    "boxes": frozenset({"label", "present"}),
    "label": frozenset({"present"}),
}
PREDICTION_LATTICE: Mapping[str, frozenset[str]] = {
    "segments": frozenset({"masks"}),
    "masks": frozenset({"boxes"}),
}

OTHERWISE = {"data": "a data set with things, such as data=shapes"}  # of groups without options to try


def derivable(kinds: Iterable[str], lattice: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """All kinds that can be had from `kinds`, themselves included."""
    found, todo = set(), list(kinds)
    while todo:
        kind = todo.pop()
        if kind not in found:
            found.add(kind)
            todo.extend(lattice.get(kind, ()))
    return frozenset(found)


def require(features: Mapping[str, Any], *levels: str, by: str) -> None:
    """Refuse a stage whose input lacks levels.

    Raises:
        WiringError: names the stage, what it needs, and what it was given.
    """
    missing = [level for level in levels if level not in features]
    if missing:
        raise WiringError(
            f"{by} needs the level{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            where=f"it is given {', '.join(features) or 'none'}",
            fix="choose a decoder or backbone that emits them, or name other levels",
        )


def fits(given: Any, wanted: Any) -> bool:
    """Is an output of type `given` accepted where `wanted` is asked for? Records are compared field by field."""
    if isinstance(wanted, Mapping) or isinstance(given, Mapping):
        both = isinstance(wanted, Mapping) and isinstance(given, Mapping)
        return both and set(wanted) == set(given) and all(fits(given[k], wanted[k]) for k in wanted)
    return issubclass(given, wanted)


def faults(data: Any, head: Any, loss: Any, postprocess: Any, metrics: Any) -> list[tuple[str, str]]:
    """Every broken link of a chain as (stage to change, what is wrong); empty when the chain fits."""
    found = []
    for group, stage in (("loss", loss), ("postprocess", postprocess)):
        if not fits(head.output_type, stage.accepts):
            found.append((group, f"{_name(stage)} accepts {_show(stage.accepts)}, but {_name(head)} emits {_show(head.output_type)}"))
    if getattr(loss, "needs_things", False) and not data.thing_ids:
        found.append(("data", f"{_name(loss)} needs things, but no class is a thing"))
    truth = derivable(data.provides, TARGET_LATTICE)
    predicted = derivable(postprocess.provides, PREDICTION_LATTICE)
    for group, stage in (("head", head), ("loss", loss), ("metrics", metrics)):
        if lacking := sorted(set(stage.needs) - truth):
            who, given = _who(group, stage, lacking), ", ".join(sorted(truth))
            found.append((group, f"{who} needs {', '.join(lacking)}, but the data set gives {given}"))
    if lacking := sorted(set(metrics.needs) - predicted):
        who, given = _who("metrics", metrics, lacking), ", ".join(sorted(predicted))
        found.append(("metrics", f"{who} needs predicted {', '.join(lacking)}, but {_name(postprocess)} provides {given}"))
    return found


def check(
    data: Any,
    head: Any,
    loss: Any,
    postprocess: Any,
    metrics: Any,
    *,
    alternatives: Callable[[str], Mapping[str, Any]] | None = None,
    annotations: Callable[[], Mapping[str, Any]] | None = None,
) -> None:
    """Refuse a chain whose stages don't fit, naming all broken links at once.

    Args:
        data: a `DataSpec`.
        head, loss, postprocess, metrics: the built stages (on the meta device).
        alternatives: for a group, its other options as built stages; asked only where a link is broken.
        annotations: by `data.annotation`, the `DataSpec` that the same data set has with it; asked only there, too.

    Raises:
        WiringError: every broken link, and for each the options that fit.
    """
    found = faults(data, head, loss, postprocess, metrics)
    if not found:
        return
    chain = {"head": head, "loss": loss, "postprocess": postprocess, "metrics": metrics}
    hints, data, groups = _richer(data, chain, annotations() if annotations else {})
    others = {group: alternatives(group) if alternatives and group in chain else {} for group in groups}
    together = _together(data, chain, others)
    if not together and alternatives and len(groups) > 1:  # what one stage is changed for another may not fit
        others |= {group: alternatives(group) for group in ("postprocess", "metrics") if group not in others}
        together = _together(data, chain, others)
    if together:
        hints.append(together)
    else:
        for group in groups:
            fit = [name for name, stage in others[group].items() if _mends(data, chain, group, stage)]
            hints.append(f"{group}={'|'.join(fit)}" if fit else OTHERWISE.get(group, f"another {group}"))
    error = WiringError(
        " / ".join(text for _, text in found),
        where="the chain " + " -> ".join(_who(group, stage) for group, stage in chain.items()),
        fix="what fits here: " + ", ".join(hints),
    )
    error.groups = tuple(dict.fromkeys(group for group, _ in found))
    raise error


def _together(data: Any, chain: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> str:
    """The fewest choices that mend the whole chain: all options of one group, or one option of each of several; empty without.

    Of several groups that would do, the last counts: a head is chosen for what it emits, a postprocess to go with it.
    """
    order = [group for group in ("postprocess", "loss", "metrics", "head") if others.get(group)]
    for size in range(1, len(order) + 1):
        for groups in combinations(order, size):
            found = [names for names in product(*(others[group] for group in groups)) if _whole(data, chain, groups, names, others)]
            if found and size == 1:
                return f"{groups[0]}={'|'.join(name for (name,) in found)}"
            if found:
                return " ".join(f"{group}={name}" for group, name in sorted(zip(groups, found[0], strict=True)))
    return ""


def _whole(
    data: Any, chain: Mapping[str, Any], groups: Sequence[str], names: Sequence[str], others: Mapping[str, Mapping[str, Any]]
) -> bool:
    changed = {group: others[group][name] for group, name in zip(groups, names, strict=True)}
    return not faults(data, **{**chain, **changed})


def _richer(data: Any, chain: Mapping[str, Any], annotations: Mapping[str, Any]) -> tuple[list[str], Any, list[str]]:
    """The annotations that mend most groups, as a hint, the data with the first of them, and the groups that stay broken.

    No hint, and everything as it is, where no annotation mends a group.
    """
    broken = _broken(data, chain)
    left = {name: _broken(other, chain) for name, other in annotations.items()}
    fewest = min((len(rest) for rest in left.values()), default=len(broken))
    if fewest >= len(broken):
        return [], data, broken
    best = [name for name, rest in left.items() if len(rest) == fewest]
    return [f"data.annotation={'|'.join(best)}"], annotations[best[0]], left[best[0]]


def _broken(data: Any, chain: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(group for group, _ in faults(data, **chain)))


def _mends(data: Any, chain: Mapping[str, Any], group: str, stage: Any) -> bool:
    return group not in _broken(data, {**chain, group: stage})


def _who(group: str, stage: Any, lacking: Iterable[str] = ()) -> str:
    """A stage, for people; of several metrics those that need what lacks, or all, as one types them."""
    if group != "metrics" or not hasattr(stage, "parts"):
        return _name(stage)
    wanted = set(lacking)
    names = [name for name, part in stage.parts() if not wanted or wanted & set(part.needs)]
    return f"metrics={names[0] if len(names) == 1 else '[' + ','.join(names) + ']'}"


def _name(stage: Any) -> str:
    return type(stage).__name__


def _show(kind: Any) -> str:
    if isinstance(kind, Mapping):
        return "{" + ", ".join(f"{k}: {_show(v)}" for k, v in kind.items()) + "}"
    return kind.__name__
