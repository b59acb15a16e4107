"""From a figure's name to what the images of a run say of it: the run's own metric knows how."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from segexp.errors import SegexpError
from segexp.functional.bootstrap import Figure
from segexp.statistics.records import BROKEN, FinishedRun, image_records


def rises(figure: str, metric: Any) -> bool:
    """Is more better? Of a metric's figure the metric says so, of a loss the name."""
    name = figure.partition("/")[2]
    if metric is not None:
        return bool(metric.higher_is_better)
    return not (name.startswith("loss") or name.endswith("loss"))


def owner(run: FinishedRun, figure: str) -> tuple[str, Any]:
    """The metric of a run that a figure such as `val/miou` is of: its name in the config, and itself.

    Raises:
        SegexpError: the run doesn't say its classes, none of its metrics gives the figure, or one can't be made.
    """
    parts = _nested({key.removeprefix("metrics."): leaf for key, leaf in run.config.items() if key.startswith("metrics.")})
    spec = run.manifest.get("spec")
    if not spec or not parts:
        raise SegexpError("the run doesn't say its classes and metrics", where=str(run.path), fix="run.again=true runs it anew")
    try:
        found = _owner(json.dumps(parts, sort_keys=True), json.dumps(spec, sort_keys=True), figure.partition("/")[2])
    except BROKEN as error:
        raise _unreadable("classes and metrics", run, error) from error
    if found is None:
        raise SegexpError(f"no metric of the run gives {figure}", where=str(run.path), fix=f"compare by another figure than {figure}")
    return found


@cache
def _owner(parts: str, spec: str, name: str) -> tuple[str, Any] | None:
    from segexp.config import complete, make
    from segexp.types import DataSpec

    data = DataSpec.from_dict(json.loads(spec))
    for key, node in json.loads(parts).items():
        metric = complete(make(node, key=f"metrics.{key}"), data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that nothing was counted yet
            if name in metric.compute():
                return key, metric
    return None


def figure_of(run: FinishedRun, figure: str, images: Sequence[str]) -> Figure:
    """A run's figure as a function of how often each image counts.

    Args:
        run: a run with `per_image.jsonl`.
        figure: such as `val/miou`.
        images: ids, in the order of the weights.

    Raises:
        SegexpError: the run has no records of these images, or its metric can't weight images.
    """
    split, _, name = figure.partition("/")
    key, metric = owner(run, figure)
    try:
        found = image_records(run.path, split, key)
        if missing := [image for image in images if image not in found]:
            what = f"{len(missing)} images have no record of {key}, such as {missing[0]}"
            raise SegexpError(what, where=str(run.path), fix="run.again=true runs it anew")
        weighted = getattr(metric, "weighted", None)
        made = weighted(name, [found[image] for image in images]) if weighted else None
    except BROKEN as error:
        raise _unreadable("per_image.jsonl", run, error) from error
    if made is None:
        fix = f"give {type(metric).__name__} a method weighted(figure, records), as docs/statistics.md says"
        raise SegexpError(f"the metric {key} can't say {name} of images that count twice", where=str(run.path), fix=fix)
    return made


def _unreadable(what: str, run: FinishedRun, error: Exception) -> SegexpError:
    said = f"{type(error).__name__}: {error}"
    return SegexpError(f"{what} can't be read: {said}", where=str(run.path), fix="run.again=true runs it anew")


def whole(figure: Figure, images: int) -> float:
    """The figure with each image once."""
    return float(figure(np.ones((1, images)))[0])


def _nested(leaves: Mapping[str, Any]) -> Any:
    """Dotted keys as containers again; of numbers as keys a list is made."""
    tree: dict[str, Any] = {}
    for key, leaf in leaves.items():
        *path, last = key.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = leaf
    return _listed(tree)


def _listed(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    inner = {key: _listed(item) for key, item in tree.items()}
    return list(inner.values()) if inner and all(key.isdecimal() for key in inner) else inner
