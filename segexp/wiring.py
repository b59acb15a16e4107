"""Does a chain of stages fit together? Answered from what the stages declare, before any data are opened.

A head declares `output_type` (a class, or a record `{name: class}`) and `needs`; a loss `accepts` and `needs`;
a postprocess `accepts` and `provides`; metrics `needs`. Kinds of annotation form a lattice: the richer give the poorer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from segexp.errors import WiringError

# What each kind gives directly. Truth and predictions differ on purpose: an argmax field is not the fusion of
# predicted segments, and detections don't make an image label.
TARGET_LATTICE: Mapping[str, frozenset[str]] = {
    "segments": frozenset({"masks", "semantic", "label"}),
    "masks": frozenset({"boxes"}),
    "boxes": frozenset({"label"}),
}
PREDICTION_LATTICE: Mapping[str, frozenset[str]] = {
    "segments": frozenset({"masks"}),
    "masks": frozenset({"boxes"}),
}


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
    truth = derivable(data.provides, TARGET_LATTICE)
    predicted = derivable(postprocess.provides, PREDICTION_LATTICE)
    for group, stage in (("head", head), ("loss", loss), ("metrics", metrics)):
        lacking = sorted(set(stage.needs) - truth)
        if lacking:
            found.append((group, f"{_name(stage)} needs {', '.join(lacking)}, but the data set gives {', '.join(sorted(truth))}"))
    lacking = sorted(set(metrics.needs) - predicted)
    if lacking:
        given = ", ".join(sorted(predicted))
        found.append(("metrics", f"{_name(metrics)} needs predicted {', '.join(lacking)}, but {_name(postprocess)} provides {given}"))
    return found


def check(
    data: Any,
    head: Any,
    loss: Any,
    postprocess: Any,
    metrics: Any,
    *,
    alternatives: Callable[[str], Mapping[str, Any]] | None = None,
) -> None:
    """Refuse a chain whose stages don't fit, naming all broken links at once.

    Args:
        data: a `DataSpec`.
        head, loss, postprocess, metrics: the built stages (on the meta device).
        alternatives: for a group, its other options as built stages; asked only where a link is broken.

    Raises:
        WiringError: every broken link, and for each the options that fit.
    """
    found = faults(data, head, loss, postprocess, metrics)
    if not found:
        return
    chain = {"head": head, "loss": loss, "postprocess": postprocess, "metrics": metrics}
    groups = list(dict.fromkeys(group for group, _ in found))
    hints = []
    for group in groups:
        fit = [name for name, stage in (alternatives(group) if alternatives else {}).items() if _mends(data, chain, group, stage)]
        hints.append(f"{group}={'|'.join(fit)}" if fit else f"another {group}")
    raise WiringError(
        " / ".join(text for _, text in found),
        where="the chain " + " -> ".join(_name(stage) for stage in chain.values()),
        fix="what fits here: " + ", ".join(hints),
    )


def _mends(data: Any, chain: Mapping[str, Any], group: str, stage: Any) -> bool:
    return group not in {broken for broken, _ in faults(data, **{**chain, group: stage})}


def _name(stage: Any) -> str:
    return type(stage).__name__


def _show(kind: Any) -> str:
    if isinstance(kind, Mapping):
        return "{" + ", ".join(f"{k}: {_show(v)}" for k, v in kind.items()) + "}"
    return kind.__name__
