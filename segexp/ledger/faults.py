"""Is what a folder holds what was written? Checkpoints by hash and by loading them, status against files, ids, metrics, sweeps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segexp.errors import SegexpError, WeightsError
from segexp.functional.files import read_json
from segexp.runs.directory import RunDirectory
from segexp.runs.find import SWEEP, run_folders
from segexp.runs.identity import ID_VERSION, identity
from segexp.runs.lock import is_held
from segexp.weights.checkpoints import listed, pointed, read_checkpoint, record_of, verify


@dataclass(frozen=True)
class Fault:
    """Something that isn't as it should be."""

    file: Path
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


Faults = Iterator[Fault]


@dataclass
class Count:
    """What was looked at."""

    runs: int = 0
    checkpoints: int = 0
    sweeps: int = 0


def verified(folder: Path, count: Count, progress: Callable[[int, int], None] = lambda done, total: None) -> Faults:
    """The faults of all runs and sweeps of a folder (see `segexp.runs.find.run_folders`), as they are found.

    Args:
        folder: a run, a sweep, an experiment, or outputs.
        count: filled in on the way.
        progress: told how many runs of how many are done.

    Raises:
        ConfigError: there is no such folder.
    """
    runs = run_folders(folder)
    for done, path in enumerate(runs):
        progress(done, len(runs))
        count.runs += 1
        yield from run_faults(path, count)
    for sweep in _sweeps(folder):
        count.sweeps += 1
        yield from sweep_faults(sweep)


def run_faults(path: Path, count: Count) -> Faults:
    """The faults of one run; of one that a process has, only what can't be on its way."""
    run, busy = RunDirectory(path), is_held(path / "lock")
    yield from _identity_faults(run)
    status = None
    try:
        status = run.read_status()
    except SegexpError as error:
        yield Fault(run.status, error.what)
    if status is not None:
        yield from _status_faults(run, status, busy)
    if not busy:
        yield from _metrics_faults(run.metrics)
        yield from _figure_faults(run)
        yield from _image_faults(run.per_image)
    for folder in (run.checkpoints, *sorted(run.attempts.glob("*/checkpoints"))):
        yield from checkpoint_faults(folder, count, busy=busy)
    for file in (*sorted(run.attempts.glob("*/status.json")), *sorted(run.evaluations.glob("*/result.json"))):
        yield from _json_faults(file)


# ------------------------------------------------------------------------------------------------ ids, status


def _identity_faults(run: RunDirectory) -> Faults:
    """The id of the manifest, of the folder and of the config are one."""
    if not run.manifest.exists():
        if run.status.exists() and _state(run) != "pending":
            yield Fault(run.manifest, "it is gone")
        return
    try:
        manifest = read_json(run.manifest)
    except SegexpError as error:
        yield Fault(run.manifest, error.what)
        return
    if not isinstance(manifest, dict):
        yield Fault(run.manifest, "it is no object")
        return
    if manifest.get("id") != run.id:
        yield Fault(run.manifest, f"its id is {manifest.get('id')}, the folder's {run.id}")
    try:
        config: Any = OmegaConf.load(run.config)
        of_config = identity(config)
    except Exception as error:  # yaml and omegaconf raise many kinds
        yield Fault(run.config, f"it can't be read: {' '.join(str(error).split())[:120]}")
        return
    if manifest.get("id_version") == ID_VERSION and not manifest.get("changed") and of_config != manifest.get("id"):
        yield Fault(run.config, f"it describes the run {of_config}, the manifest {manifest.get('id')}")


def _status_faults(run: RunDirectory, status: dict[str, Any], busy: bool) -> Faults:
    state, result = status["state"], run.result_file
    if state == "running" and not busy:
        yield Fault(run.status, "it says running, and no process has the run (the same command goes on with it)")
    if state == "done" and not result.exists():
        yield Fault(result, "it is gone, and the run says done")
    if result.exists():
        yield from _json_faults(result)
        if state not in ("done", "pruned") and not busy:
            yield Fault(run.status, f"it says {state}, and there is a result")
    if state == "done" and not listed(run.checkpoints):
        yield Fault(run.checkpoints, "the run is done, and there is no checkpoint")
    if state == "failed" and not status["error"]:
        yield Fault(run.status, "it says failed, and not of what")


def _json_faults(path: Path) -> Faults:
    try:
        if not isinstance(read_json(path), dict):
            yield Fault(path, "it is no object")
    except (OSError, SegexpError) as error:
        yield Fault(path, error.what if isinstance(error, SegexpError) else str(error))


# ------------------------------------------------------------------------------------------------ checkpoints


def checkpoint_faults(folder: Path, count: Count, *, busy: bool = False) -> Faults:
    """Hash, safe loading, records and pointers of the checkpoints of a folder."""
    if not folder.is_dir():
        return
    good = listed(folder)
    for path in sorted(folder.glob("step-*.ckpt")):
        if path not in good and not busy:
            yield Fault(path, "it has no record beside it")
    for path in sorted(folder.glob("step-*.json")):
        if not path.with_suffix(".ckpt").exists() and not busy:
            yield Fault(path, "its checkpoint is gone")
    for path in good:
        count.checkpoints += 1
        try:
            verify(path)
            if not isinstance(state := read_checkpoint(path, mmap=True), dict) or "state_dict" not in state:
                yield Fault(path, "it has no state_dict")
        except WeightsError as error:
            if path.exists() or not busy:  # of one that runs, older ones go
                yield Fault(path, error.what)
    yield from _pointer_faults(folder, good, busy)


def _pointer_faults(folder: Path, good: list[Path], busy: bool) -> Faults:
    scored = False
    for path in good:
        try:
            scored = scored or record_of(path).get("score") is not None
        except WeightsError:  # told above
            continue
    for which, needed in (("last", bool(good)), ("best", scored)):
        file, target = folder / which.upper(), pointed(folder, which)
        if target is None and (needed or file.exists()):
            yield Fault(file, "it names no checkpoint" if file.exists() else "it is gone")
        elif target is not None and not busy and target not in good:
            yield Fault(file, f"it names {target.name}, which isn't there")


# ------------------------------------------------------------------------------------------------ records


def _metrics_faults(path: Path) -> Faults:
    """Each step has each name once."""
    seen: set[tuple[Any, Any]] = set()
    for number, record in _lines(path):
        if record is None or not {"step", "name", "value"} <= record.keys():
            yield Fault(path, f"line {number} is no record of a value")
            continue
        key = (record["step"], record["name"])
        if key in seen:
            yield Fault(path, f"line {number}: {key[1]} of step {key[0]} is there twice")
        seen.add(key)


def _figure_faults(run: RunDirectory) -> Faults:
    """The figures of a result are those that were logged last, there in float32."""
    try:
        result = read_json(run.result_file)
        shown = {f"{split}/{key}": value for split in ("val", "test") for key, value in (result.get(split) or {}).items()}
    except (OSError, SegexpError, AttributeError):  # said elsewhere, or there is none yet
        return
    records = [record for _, record in _lines(run.metrics) if record and {"name", "value"} <= record.keys()]
    logged = {record["name"]: record["value"] for record in records if str(record["name"]).startswith(("val/", "test/"))}
    wrong = [name for name in logged if name not in shown or not _same(shown[name], logged[name])]
    if wrong:
        name = wrong[0]
        what = f"{name} is {shown.get(name, 'absent')}, in metrics.jsonl {logged[name]}"
        yield Fault(run.result_file, what + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""))


def _same(value: Any, logged: Any) -> bool:
    if isinstance(value, float) and isinstance(logged, float) and math.isfinite(value):
        return math.isclose(value, logged, rel_tol=1e-6, abs_tol=1e-30)
    absent = [one is None or (isinstance(one, float) and not math.isfinite(one)) for one in (value, logged)]
    return all(absent) or (not any(absent) and value == logged)


def _image_faults(path: Path) -> Faults:
    seen: set[Any] = set()
    for number, record in _lines(path):
        if record is None or "id" not in record:
            yield Fault(path, f"line {number} is no record of an image")
            continue
        key = (record.get("split"), record["id"])
        if key in seen:
            yield Fault(path, f"line {number}: {record['id']} is there twice")
        seen.add(key)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            yield number, record if isinstance(record, dict) else None


# ------------------------------------------------------------------------------------------------ sweeps


def _sweeps(folder: Path) -> list[Path]:
    if (folder / SWEEP).is_file():
        return [folder]
    return sorted(path.parent for pattern in (f"sweeps/*/{SWEEP}", f"*/sweeps/*/{SWEEP}") for path in folder.glob(pattern))


def sweep_faults(folder: Path) -> Faults:
    """`sweep.json` against the runs that it names."""
    path, busy = folder / SWEEP, is_held(folder / "lock")
    try:
        jobs = read_json(path)["jobs"]
        rows = [(job["run"], job["path"], job["state"]) for job in jobs]
        if not all(place is None or (isinstance(place, str) and "\0" not in place) for _, place, _ in rows):
            raise TypeError
    except SegexpError as error:
        yield Fault(path, error.what)
        return
    except (KeyError, TypeError):
        yield Fault(path, "it isn't the list of a sweep's jobs")
        return
    for number, (run_id, place, state) in enumerate(rows, 1):
        if place is None:
            continue
        run = RunDirectory(Path(folder, place).resolve())
        if run.id != run_id:
            yield Fault(path, f"job {number} is the run {run_id}, and its folder is {place}")
        elif not run.path.is_dir():
            if state not in ("pending", "running", "failed"):
                yield Fault(path, f"job {number} is {state}, and its run's folder is gone: {place}")
        elif state == "done" and not busy and (now := _state(run)) != "done":
            yield Fault(path, f"job {number} is done, and its run says {now}: {place}")


def _state(run: RunDirectory) -> str:
    try:
        return run.state()
    except SegexpError:
        return "nothing that can be read"
