"""What a run was made of against what there is today, thing by thing: files of the code, packages, files of the data."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from segexp.errors import SegexpError
from segexp.functional.files import read_json
from segexp.ledger.code import changed_code
from segexp.ledger.data_files import differences, read_table, table
from segexp.runs.directory import RunDirectory
from segexp.runs.drift import version_changes
from segexp.runs.identity import ID_VERSION, identity
from segexp.runs.manifest import hardware, source_folder

_MACHINE = ("platform", "cpu", "gpus")  # of the hardware, what can change the last bits


@dataclass
class Drift:
    """What has changed since a run began.

    Args:
        changes: a line each, such as `package: timm 1.0.30 then, 1.0.31 now`; any of these can change the result.
        notes: what can change its last bits, or can't be told.
    """

    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def drift(run: RunDirectory, config: DictConfig) -> Drift:
    """Compare a run's manifest with the code, packages, data and machine of today.

    Args:
        run: its directory; its manifest must be there.
        config: its stored config with today's paths, resolvable.

    Raises:
        SegexpError: the manifest can't be read.
    """
    found, was = Drift(), read_json(run.manifest)
    _config(found, was, run)
    _code(found, was, config, run)
    for name, (then, now) in version_changes(was).items():
        found.changes.append(f"package: {name} {then or 'absent'} then, {now or 'absent'} now")
    _weights(found, was)
    _data(found, was, run, config)
    _machine(found, was)
    return found


def _config(found: Drift, was: Mapping[str, Any], run: RunDirectory) -> None:
    stored: Any = OmegaConf.load(run.config)
    if changed := was.get("changed"):
        found.changes.append(f"config: on its way the run went on with other values of {', '.join(changed)}: it isn't the result of one")
    elif was.get("id_version") == ID_VERSION and (now := identity(stored)) != was["id"]:
        found.changes.append(f"config: config.yaml describes the run {now}, and the run is {was['id']}")
    if was.get("pieces", 1) > 1:
        found.changes.append(f"config: memory ran out, and from step {was.get('pieces_since')} on batches came in {was['pieces']} pieces")


def _code(found: Drift, was: Mapping[str, Any], config: DictConfig, run: RunDirectory) -> None:
    then = was.get("git")
    if not then:
        found.notes.append("code: nobody can tell what has changed: it began outside a checkout")
        return
    commit, changed = then["commit"][:8], changed_code(then, source_folder(), _tops(config), run.outputs.resolve())
    if changed is None:
        found.notes.append(f"code: nobody can tell what has changed: its commit {commit} isn't in this checkout, or its patch wasn't kept")
    found.changes += [f"code: {name} has changed since (commit {commit})" for name in changed or ()]


def _tops(config: DictConfig) -> set[str]:
    """The first words of all targets."""
    plain = OmegaConf.to_container(config, resolve=False)
    return {target.partition(".")[0] for target in _targets(plain)}


def _targets(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["_target_"]] if isinstance(value.get("_target_"), str) else []
        return own + [target for item in value.values() for target in _targets(item)]
    return [target for item in value for target in _targets(item)] if isinstance(value, list) else []


def _weights(found: Drift, was: Mapping[str, Any]) -> None:
    from segexp.weights.checkpoints import sha256

    parent = was.get("parent")
    if not parent:
        return
    path = Path(parent["file"])
    if not path.exists():
        found.changes.append(f"weights: {path}, which the run began from, is gone")
    elif sha256(path) != parent["sha256"]:
        found.changes.append(f"weights: {path}, which the run began from, has changed")


def _data(found: Drift, was: Mapping[str, Any], run: RunDirectory, config: DictConfig) -> None:
    from segexp.build import open_dataset

    before = read_table(run.path)
    try:
        dataset = open_dataset(config)
        now = table(dataset, config.data.get("root"), how=before["how"]) if before else None
        fingerprint = dataset.fingerprint()
    except SegexpError as error:
        found.changes.append(f"data: {error}")
        return
    files = differences(before, now or {"files": {}}) if before else None
    found.changes += [f"data: {line}" for line in files.told()] if files else []
    if not files and was.get("data") not in (None, fingerprint):
        found.changes.append(f"data: its fingerprint is {fingerprint[:12]}, then {was['data'][:12]}")
    if before is None and config.data.get("root"):
        found.notes.append("data: the run has no data.json, so that only names and sizes of files could be compared")


def _machine(found: Drift, was: Mapping[str, Any]) -> None:
    then, now = was.get("hardware") or {}, hardware()
    for key in _MACHINE:
        if key in then and then[key] != now[key]:
            found.notes.append(f"machine: {key} {_word(then[key])} then, {_word(now[key])} now; the last bits may differ")
    if was.get("hostname") not in (None, platform.node()):
        found.notes.append(f"machine: {was['hostname']} then, {platform.node()} now")


def _word(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
