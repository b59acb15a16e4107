"""How a run starts: from scratch, from its newest checkpoint, or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from segexp.errors import ConfigError, SegexpError, WeightsError
from segexp.functional.files import read_json
from segexp.ranks.layout import ranks_of
from segexp.runs.directory import RunDirectory
from segexp.runs.drift import (
    Changes,
    config_changes,
    listed,
    other_ranks,
    other_threads,
    refuse_other_config,
    refuse_other_data,
    refuse_other_versions,
)
from segexp.runs.find import find
from segexp.runs.identity import identity
from segexp.runs.manifest import manifest, now, update_manifest
from segexp.weights.checkpoints import listed as listed_checkpoints
from segexp.weights.checkpoints import newest, pointed, record_of, set_aside, settle

FIXED = ("data.loader.batch_size", "trainer.accumulate_grad_batches")  # what says which samples a step sees


@dataclass(frozen=True)
class Start:
    """An attempt that begins or goes on."""

    attempt: int
    checkpoint: Path | None  # what it goes on from


def place(config: DictConfig) -> RunDirectory:
    """The directory of a config's run, or of the run that `resume.run` names.

    Raises:
        ConfigError: there is no such run.
    """
    outputs = Path(config.paths.outputs)
    return find(str(config.resume.run), outputs) if config.resume.run else RunDirectory.of(config, outputs)


def start(directory: RunDirectory, config: DictConfig, overrides: Sequence[str]) -> Start:
    """Begin an attempt or go on with one; the caller holds the run.

    Raises:
        SegexpError: the run has used up its attempts, or there is no valid checkpoint where one must be; nothing was changed.
        ConfigError: config, versions or threads aren't those of the run; nothing was changed.
        DataError: the data aren't; nothing was changed.
    """
    status = directory.read_status()
    again = config.run.again and not (status.get("again") and status["state"] in ("running", "preempted"))  # it has begun again
    if again or config.resume.mode == "never" or status["state"] == "pending":
        if config.resume.mode == "must" and not again:
            raise _no_checkpoint(directory, "the run has never begun")
        return Start(_begin(directory, config, overrides), None)
    if status["state"] in ("failed", "killed") and status["failures"] >= config.run.max_attempts:
        raise exhausted(status)
    if not directory.manifest.exists():
        fix = "restore it, or start from scratch: resume.mode=never"
        raise ConfigError("the run's manifest is gone", where=str(directory.manifest), fix=fix)
    was: dict[str, Any] = read_json(directory.manifest)
    changes = _allowed_changes(directory, config, was)
    checkpoint = usable(directory, config)
    if checkpoint:
        _refuse_other_sums(config, was)
    step = record_of(checkpoint)["step"] if checkpoint else 0
    cut(directory.metrics, checkpoint)
    _note(directory, was, step, changes)  # before the config is stored: what has changed can't be seen afterwards
    go_on = directory.retry if status["state"] in ("failed", "killed") else directory.resume
    return Start(go_on(config, overrides, step), checkpoint)


def _allowed_changes(directory: RunDirectory, config: DictConfig, was: Mapping[str, Any]) -> Changes:
    """What differs from when the run began and may: keys of the config, versions, the data."""
    allowed, where = tuple(config.resume.override), directory.path
    changes = config_changes(directory.config, config)
    if cut_anew := [key for key in FIXED if key in changes and key in allowed]:
        fix = f"weights.file=run:{directory.id} starts a run from its weights"
        raise ConfigError("a run can't go on with other batches: some samples would come twice", where=", ".join(cut_anew), fix=fix)
    refuse_other_config(changes, allowed, where)
    versions = refuse_other_versions(was, allow=config.resume.allow_env_change, where=where)
    return changes | versions | refuse_other_data(where, was, config, allowed)  # last: it takes torch


def _refuse_other_sums(config: DictConfig, was: Mapping[str, Any]) -> None:
    """Say that threads or ranks aren't those that the run began with; under strict determinism that is refused."""
    from segexp.build import threads_of

    nodes, local = ranks_of(config)
    said = {
        other_ranks(was, nodes * local): f"trainer.devices={was.get('ranks', 1)}",
        other_threads(was, threads_of(config)): f"run.threads={was['threads']}",
    }
    for what, fix in said.items():
        if what and config.determinism == "strict":
            raise ConfigError(what, where="determinism=strict", fix=fix)
        if what:
            print(f"note: {what}; {fix} keeps them", flush=True)


def _note(directory: RunDirectory, was: Mapping[str, Any], step: int, changes: Changes) -> None:
    """Record in the manifest that the run goes on, and in what it isn't what it was, now or since an earlier time."""
    note = {"time": now(), "step": step} | ({"changed": listed(changes)} if changes else {})
    changed = sorted({*was.get("changed", ()), *changes})
    update_manifest(directory.manifest, {"resumed": [*was.get("resumed", ()), note], "changed": changed})


def exhausted(status: Mapping[str, Any]) -> SegexpError:
    """The failure of a run that isn't started any more."""
    error, failures = status["error"] or {"what": "it failed", "where": "", "fix": ""}, status["failures"]
    more = f"run.max_attempts={failures + 1} goes on from its last checkpoint, run.again=true starts from scratch"
    fix = f"{error['fix']}; {more}" if error["fix"] else more
    return SegexpError(f"the run failed {failures} times: {error['what']}", where=error["where"], fix=fix)


def _begin(directory: RunDirectory, config: DictConfig, overrides: Sequence[str]) -> int:
    return directory.begin(config, overrides, manifest(config, identity(config), overrides, threads=config.run.threads))


def usable(directory: RunDirectory, config: DictConfig) -> Path | None:
    """The newest valid checkpoint, with the pointers and the folder brought in line with it; None where none was ever written.

    Raises:
        WeightsError: there are some, and none is valid; or there must be one.
    """
    found, faults = newest(directory.checkpoints)
    last = pointed(directory.checkpoints, "last")
    if last and last not in listed_checkpoints(directory.checkpoints):  # it has been there: LAST is written after it
        faults = [WeightsError("it or its record is gone", where=str(last), fix="use another checkpoint"), *faults]
    if found is None and faults:
        what = f"none of the run's checkpoints is valid; {Path(faults[0].where).name}: {faults[0].what}"
        raise WeightsError(what, where=str(directory.checkpoints), fix="restore one, or start from scratch: resume.mode=never")
    if found is None and directory.read_status()["step"] > 0:
        raise WeightsError("the run's checkpoints are gone", where=str(directory.checkpoints), fix="restore them, or resume.mode=never")
    if found is None and config.resume.mode == "must":
        raise _no_checkpoint(directory, "the run was interrupted before its first checkpoint")
    if found:
        _leave_out(faults, found)
        settle(found.parent, found.stem, config.monitor, OmegaConf.select(config, "callbacks.checkpoint.keep", default=2))
    return found


def _leave_out(faults: Sequence[WeightsError], found: Path) -> None:
    """Say which checkpoints are broken, and rename them."""
    for fault in faults:
        path = Path(fault.where)
        print(f"warning: {path.name} is left out: {fault.what}; going back to {found.stem}", flush=True)
        set_aside(path)


def _no_checkpoint(directory: RunDirectory, why: str) -> WeightsError:
    return WeightsError(f"there is no checkpoint to go on from: {why}", where=str(directory.path), fix="resume.mode=auto")


def cut(metrics: Path, checkpoint: Path | None) -> None:
    """Take back what was logged after the checkpoint: the steps come again, and each is to stand there once."""
    size = record_of(checkpoint)["files"]["metrics.jsonl"] if checkpoint else 0
    there = metrics.stat().st_size if metrics.exists() else 0
    if there < size:
        print(f"warning: {metrics} has {there} bytes, at the checkpoint it had {size}: what is gone stays gone", flush=True)
    elif there:
        os.truncate(metrics, size)
