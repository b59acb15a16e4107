"""A run made again from its manifest, and its figures and weights compared with the first ones bit by bit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict

from segexp.errors import ConfigError, SegexpError, WeightsError
from segexp.functional.files import read_json
from segexp.ledger.drift import Drift, drift
from segexp.runs.directory import RunDirectory, typed
from segexp.runs.recompose import recompose

FOLDER = "reproductions"  # below an experiment's folder; an outputs folder of its own
_MOST = 8  # differences that are told


class DriftError(SegexpError):
    """Something of what a run was made of has changed, or its figures came out otherwise."""

    code = "drift"


@dataclass
class Comparison:
    """Two runs of one config.

    Args:
        figures: how many were compared, logged ones included.
        differences: a line each; empty where all is bit-equal.
        weights: were they compared? They may have been deleted.
    """

    figures: int
    differences: list[str]
    weights: bool


def plan(run: RunDirectory, overrides: Sequence[str] = ()) -> DictConfig:
    """The config that makes a run again: its stored one, in a folder of its own, with the threads that it had and no tracker.

    Args:
        run: one that is done.
        overrides: of `paths` alone: they say where data and weights are today.

    Raises:
        ConfigError: the run isn't done, has no manifest, was imported, or an override isn't of `paths`.
    """
    if other := [o for o in overrides if not o.lstrip("+").startswith("paths")]:
        fix = "leave it out; segexp train with it makes another run"
        raise ConfigError("a run is made again as it was: only paths can be overridden", where=other[0], fix=fix)
    if (state := run.state()) != "done":
        raise ConfigError(f"the run is {state}: it has no figures to compare with", where=str(run.path), fix="finish it first")
    if (run.path / "import.json").exists():
        raise ConfigError("the run was imported, not trained", where=str(run.path), fix="segexp evaluate measures it")
    if not run.manifest.exists():
        raise ConfigError("the run's manifest is gone", where=str(run.manifest), fix="restore it")
    config = recompose(run.config, [o for o in overrides if not o.startswith("paths.outputs=")])
    with open_dict(config):
        config.logger = None  # a tracker would take it for the run itself
        config.run.again, config.run.threads = True, read_json(run.manifest).get("threads")
        config.resume = {"mode": "auto", "run": None, "override": [], "allow_env_change": False}
        if str(config.weights.file or "").startswith("run:"):  # ids are looked up where the run is
            config.weights.file = f"run:{_parent(config, run)}"
        config.paths.outputs = str(run.path.absolute().parent / FOLDER)
    return config


def _parent(config: DictConfig, run: RunDirectory) -> Path:
    from segexp.runs.find import find

    return find(config.weights.file.removeprefix("run:"), run.outputs).path.absolute()


def reproduce(run: RunDirectory, config: DictConfig, *, anyway: bool = False) -> tuple[Drift, Path, Comparison]:
    """Name what has changed; where nothing has, or it is to be done all the same, run again and compare.

    Args:
        run: the first run.
        config: as from `plan`.
        anyway: run although something has changed.

    Returns:
        (what has changed, the folder of the second run, how its figures compare).

    Raises:
        DriftError: something has changed; nothing was run. Each change was printed.
    """
    found = drift(run, config)
    for line in (*found.changes, *found.notes):
        print(line, flush=True)
    if found.changes and not anyway:
        count = len(found.changes)
        what = found.changes[0] if count == 1 else f"{count} things have changed since the run began"
        raise DriftError(what, where=str(run.path), fix="bring back what there was, or --anyway runs it all the same")
    from segexp.runs.execute import execute

    words = typed(run.overrides.read_text(encoding="utf-8")) if run.overrides.exists() else []
    outcome = execute(config, words)
    return found, outcome.directory.path, compare(run.path, outcome.directory.path)


# ------------------------------------------------------------------------------------------------ comparing


def compare(first: Path, second: Path) -> Comparison:
    """The figures, logged values, records of images and last weights of two runs, bit by bit."""
    results = [read_json(folder / "result.json") for folder in (first, second)]
    logged = [_logged(folder / "metrics.jsonl") for folder in (first, second)]
    finals = [_finals(result) for result in results]
    lines = _different(finals[0], finals[1]) + _different(logged[0], logged[1])
    if _text(first / "per_image.jsonl") != _text(second / "per_image.jsonl"):
        lines.append("per_image.jsonl: the records of images differ")
    weights = _weights(first, second)
    if weights:
        lines.append(weights)
    return Comparison(len(finals[0]) + len(logged[0]), lines, weights is not None)


def _finals(result: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}/{key}": value for name in ("val", "test") for key, value in (result.get(name) or {}).items()}


def _logged(path: Path) -> dict[str, Any]:
    """`<name> of step <n>` -> value, in order."""
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return {f"{record['name']} of step {record['step']}": record["value"] for record in records}


def _different(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    keys = [key for key in {**first, **second} if key not in first or key not in second or first[key] != second[key]]
    lines = [f"{key}: {first.get(key, 'absent')} then, {second.get(key, 'absent')} now" for key in keys[:_MOST]]
    return lines + ([f"and {len(keys) - _MOST} more"] if len(keys) > _MOST else [])


def _text(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _weights(first: Path, second: Path) -> str | None:
    """What is said of the last weights: nothing where they are equal; None where those of the first run are gone."""
    import torch

    from segexp.weights.checkpoints import newest, read_checkpoint

    paths = [path for folder in (first, second) if (path := newest(folder / "checkpoints")[0])]
    if len(paths) < 2:
        return None
    try:
        one, two = (read_checkpoint(path, parts=("state_dict",))["state_dict"] for path in paths)
    except (WeightsError, KeyError):
        return None
    differ = [name for name in {**one, **two} if name not in one or name not in two or not _bits_equal(torch, one[name], two[name])]
    return f"weights: {len(differ)} of {len(one)} tensors differ, such as {differ[0]}" if differ else ""


def _bits_equal(torch: Any, one: Any, two: Any) -> bool:
    """NaN is itself, and -0.0 isn't 0.0."""
    same_kind = one.dtype == two.dtype and one.shape == two.shape
    return same_kind and torch.equal(one.contiguous().view(-1).view(torch.uint8), two.contiguous().view(-1).view(torch.uint8))
