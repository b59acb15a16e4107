"""What would fit where a chain is broken: the other options of a group, built on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from segexp.catalogue import catalogue
from segexp.config import complete, make, session
from segexp.errors import SegexpError, WiringError
from segexp.metrics.several import Metrics
from segexp.overrides import options
from segexp.types import DataSpec, FeatureSpec

Alternatives = Callable[..., Mapping[str, Any]]
PLACE = "options_side_by_side"  # a section that no config has


def topped(head: Callable[..., Any], spec: DataSpec, backbone: FeatureSpec, levels: FeatureSpec, alternatives: Alternatives | None) -> Any:
    """The head on what decoder and backbone emit.

    Raises:
        WiringError: it needs levels that they don't; names the decoders that would do.
    """
    try:
        return complete(head, levels, spec)
    except WiringError as error:
        fit = _decoders(head, spec, backbone, alternatives)
        told = WiringError(error.what, where=error.where, fix=f"what fits here: decoder={'|'.join(fit)}" if fit else error.fix)
        told.groups = ("decoder",)
        raise told from error


def _decoders(head: Callable[..., Any], spec: DataSpec, features: FeatureSpec, alternatives: Alternatives | None) -> list[str]:
    """The decoders with which a head can be built on a backbone."""
    fit = []
    for name, decoder in (alternatives("decoder", spec=spec, features=features) if alternatives else {}).items():
        try:
            complete(head, {**features, **decoder.spec}, spec)
            fit.append(name)
        except SegexpError:
            continue
    return fit


def built_options(group: str, *, spec: DataSpec, features: FeatureSpec) -> dict[str, Any]:
    """The options of a group as built stages; those that can't be built here are left out."""
    found = {}
    for option, node in _nodes(group).items():
        try:
            part = make(node, key=group)
            if group == "metrics":
                found[option] = Metrics({name: metric(spec) for name, metric in part.items()})
            elif group == "decoder":
                found[option] = part(features)
            else:
                found[option] = part(features, spec) if group == "head" else part(spec)
        except Exception:  # whatever keeps it from being built here: it isn't one that fits
            continue
    return found


def _nodes(group: str) -> dict[str, Any]:
    """The sections that the options of a group give, side by side in one config: a composition takes half a second."""
    names = options(group)
    with session():
        try:
            base = catalogue("train").base(tuple(f"+{group}@{PLACE}.o{number}={name}" for number, name in enumerate(names)))
        except SegexpError:  # a broken file: said where it is chosen
            return {}
    return {name: base.config[PLACE][f"o{number}"] for number, name in enumerate(names)}
