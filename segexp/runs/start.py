"""How a run starts: from scratch, from its newest checkpoint, or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from segexp.errors import ConfigError, SegexpError, WeightsError
from segexp.functional.files import read_json
from segexp.runs.directory import RunDirectory
from segexp.runs.drift import config_changes, listed, refuse_other_config, refuse_other_versions
from segexp.runs.find import find
from segexp.runs.manifest import manifest, now, update_manifest
from segexp.weights.checkpoints import newest, record_of, set_aside

MODES = ("auto", "must", "never")


@dataclass(frozen=True)
class Start:
    """An attempt that begins or goes on."""

    attempt: int
    checkpoint: Path | None  # what it goes on from


def place(config: DictConfig) -> RunDirectory:
    """The directory of a config's run, or of the run that `resume.run` names.

    Raises:
        ConfigError: `resume.mode` is none of the modes, or there is no such run.
    """
    if config.resume.mode not in MODES:
        raise ConfigError("no such way to go on", where=f"resume.mode={config.resume.mode}", fix=f"resume.mode={'|'.join(MODES)}")
    outputs = Path(config.paths.outputs)
    return find(str(config.resume.run), outputs) if config.resume.run else RunDirectory.of(config, outputs)


def start(directory: RunDirectory, config: DictConfig, overrides: Sequence[str]) -> Start:
    """Begin an attempt or go on with one; the caller holds the run.

    Raises:
        SegexpError: the run has used up its attempts, or there is no valid checkpoint where one must be; nothing was changed.
        ConfigError: config or versions aren't those of the run.
    """
    status = directory.read_status()
    begun = status["state"] in ("running", "preempted", "failed", "killed")
    if config.run.again or config.resume.mode == "never" or not begun:
        if config.resume.mode == "must" and not config.run.again:
            raise _no_checkpoint(directory, "the run has never begun")
        return Start(_begin(directory, config, overrides), None)
    if status["state"] in ("failed", "killed") and status["failures"] >= config.run.max_attempts:
        raise exhausted(status)
    was: dict[str, Any] = read_json(directory.manifest)
    allowed = tuple(config.resume.override)
    changes = config_changes(directory.config, config)
    refuse_other_config(changes, allowed, directory.path)
    versions = refuse_other_versions(was, allow=config.resume.allow_env_change, where=directory.path)
    checkpoint = _usable(directory, config.resume.mode)
    step = record_of(checkpoint)["step"] if checkpoint else 0
    cut(directory.metrics, checkpoint)
    go_on = directory.retry if status["state"] in ("failed", "killed") else directory.resume
    attempt = go_on(config, overrides, step)
    note = {"time": now(), "step": step}
    if changes or versions:
        note["changed"] = listed(changes | versions)
    update_manifest(directory.manifest, {"resumed": [*was.get("resumed", []), note]})
    return Start(attempt, checkpoint)


def exhausted(status: dict[str, Any]) -> SegexpError:
    """The failure of a run that isn't started any more."""
    error = status["error"] or {"what": "it failed", "where": "", "fix": ""}
    again = "run.again=true starts it again"
    fix = f"{error['fix']}; {again}" if error["fix"] else again
    return SegexpError(f"the run failed {status['failures']} times: {error['what']}", where=error["where"], fix=fix)


def _begin(directory: RunDirectory, config: DictConfig, overrides: Sequence[str]) -> int:
    return directory.begin(config, overrides, manifest(config, directory.id, overrides, threads=config.run.threads))


def _usable(directory: RunDirectory, mode: str) -> Path | None:
    """The newest valid checkpoint; broken ones are renamed. None where none was ever written."""
    found, faults = newest(directory.checkpoints)
    if found is None and faults:
        what = f"none of the run's {len(faults)} checkpoints is valid; the newest: {faults[0].what}"
        raise WeightsError(what, where=str(directory.checkpoints), fix="restore one, or start from scratch: resume.mode=never")
    if found is None and mode == "must":
        raise _no_checkpoint(directory, "the run was interrupted before its first checkpoint")
    for fault in faults:
        print(
            f"warning: {Path(fault.where).name} is left out: {fault.what}; going back to {found.stem if found else 'nothing'}", flush=True
        )
        set_aside(Path(fault.where))
    return found


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
