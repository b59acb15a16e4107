"""What has changed since a run began: its config, the versions that it was computed with, the code, the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from segexp.errors import ConfigError, DataError
from segexp.ledger.data_files import changes_since
from segexp.runs.identity import counted_leaves
from segexp.runs.manifest import git_state, source_folder, versions

# Of what is recorded, the versions that can't change a result.
_SHOWING = ("rich", "matplotlib", "jinja2", "plotly", "wandb", "tensorboard", "mlflow-skinny")
_BYSTANDERS = frozenset({*_SHOWING, "optuna", "submitit", "safetensors"})

Changes = dict[str, tuple[Any, Any]]  # key -> (then, now)


def config_changes(stored: Path, config: DictConfig) -> Changes:
    """Keys that decide the result and differ from a stored config.

    Raises:
        ConfigError: the stored config can't be read.
    """
    try:
        before: Any = OmegaConf.load(stored)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"the stored config can't be read: {said}", where=str(stored), fix="restore it, or run.again=true") from error
    return _changes(counted_leaves(before), counted_leaves(config))


def version_changes(manifest: Mapping[str, Any]) -> Changes:
    """Distributions whose version isn't that of the manifest; of those that can change a result."""
    found = _changes(manifest.get("versions") or {}, versions())
    return {name: change for name, change in found.items() if name not in _BYSTANDERS}


def code_changed(manifest: Mapping[str, Any]) -> str | None:
    """What is said of code that isn't the manifest's; None where it is the same, or nobody knows."""
    then, now = manifest.get("git"), git_state(source_folder())
    if not then or not now or (then["commit"], then["patch"]) == (now["commit"], now["patch"]):
        return None
    same = then["commit"] == now["commit"]
    return "other uncommitted changes" if same else f"commit {now['commit'][:8]}, then {then['commit'][:8]}"


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Changes:
    keys = sorted(then.keys() | now.keys())
    return {key: (then.get(key), now.get(key)) for key in keys if then.get(key) != now.get(key)}


def listed(changes: Changes) -> str:
    """Changes in words: `optimizer.lr 0.01 -> 0.1`."""
    return ", ".join(f"{key} {_word(then)} -> {_word(now)}" for key, (then, now) in changes.items())


def _word(value: Any) -> str:
    return "nothing" if value is None else str(value)


def refuse_other_config(changes: Changes, allowed: Sequence[str], where: Path) -> None:
    """Refuse to go on with another config, but for the keys that may differ.

    Raises:
        ConfigError: a key-by-key list of what differs.
    """
    left = {key: change for key, change in changes.items() if not any(key == a or key.startswith(f"{a}.") for a in allowed)}
    if left:
        keys = ",".join([*allowed, *left])
        fix = f"leave them as they were, or resume.override=[{keys}]"
        raise ConfigError(f"the run's config differs: {listed(left)}", where=str(where), fix=fix)


def refuse_other_versions(manifest: Mapping[str, Any], *, allow: bool, where: Path) -> Changes:
    """Refuse to go on in another environment, unless it is allowed; returns what differs.

    Raises:
        ConfigError: names the distributions.
    """
    changes = version_changes(manifest)
    if changes and not allow:
        fix = "install those versions, or resume.allow_env_change=true (the result isn't the same to the last bit then)"
        raise ConfigError(f"the run began with other versions: {listed(changes)}", where=str(where), fix=fix)
    return changes


def refuse_other_data(run: Path, manifest: Mapping[str, Any], config: DictConfig, allowed: Sequence[str]) -> Changes:
    """Refuse to go on with other data than the run began with, unless it is allowed; returns what differs.

    Contents count where the run has a table of its files, and in any case their names, sizes and splits.

    Raises:
        DataError: names the first file that differs; else gives both fingerprints.
    """
    then = manifest.get("data")
    if not then:
        return {}
    from segexp.build import open_dataset  # takes torch

    dataset = open_dataset(config)
    now, told = dataset.fingerprint(), changes_since(run, dataset, config.data.get("root"), Path(config.paths.outputs)).told()
    if then == now and not told:
        return {}
    more = f" (the first of {len(told)})" if len(told) > 1 else ""
    said = f"{told[0]}{more}" if told else f"fingerprint {now[:12]}, then {then[:12]}"
    if "data" not in allowed:
        what = f"the data aren't those that the run began with: {said}"
        raise DataError(what, where=str(run), fix="restore the files, start anew (run.again=true), or resume.override=[data]")
    return {"data": (then[:12], now[:12] if now != then else said)}


def other_threads(manifest: Mapping[str, Any], threads: int) -> str | None:
    """What is said of another number of threads of torch than the run had; None where it is the same, or unknown."""
    then = manifest.get("threads")
    if then in (None, threads):
        return None
    return f"the run began with {then} threads of torch, and now has {threads}: sums differ in their last bits"


def other_ranks(manifest: Mapping[str, Any], ranks: int) -> str | None:
    """What is said of another number of ranks than the run had; None where it is the same."""
    then = manifest.get("ranks") or 1
    return None if then == ranks else f"the run began with {then} ranks, and now has {ranks}: sums differ in their last bits"
