"""A run's directory: where its files are, in what state it is, and how an attempt begins and ends.

Every file appears whole or not at all, and a kill at any moment loses nothing: `status.json` and the folders under
`attempts/` alone say what has happened, so that the next start can finish what this one began.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from segexp.allow import command
from segexp.errors import ConfigError, SegexpError
from segexp.functional.files import read_json, sync_folder, write_atomic, write_json
from segexp.runs.identity import DIGITS, identity, slug
from segexp.secrets import redacted

STATES = ("pending", "running", "done", "failed", "killed", "preempted", "pruned")

_STAYS = frozenset({"attempts", "status.json", "lock"})  # what isn't moved when an attempt is put away
_TELLS = ("log.txt", "traceback.txt")  # what tells of an attempt; the rest is what the next one goes on with
RUN = re.compile(rf"(?:.*-)?([0-9a-f]{{{DIGITS}}})")


class RunDirectory:
    """The files of one run.

    Making one touches no disk; `begin` does.

    Args:
        path: the directory, `<outputs>/<name>/<slug>-<id>`.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @classmethod
    def of(cls, config: DictConfig, outputs: Path) -> RunDirectory:
        """The directory of the run that a config describes; it depends on the config alone.

        Raises:
            ConfigError: the config's `name` can't be a folder, or it has no identity.
        """
        name = str(OmegaConf.select(config, "name") or "default")
        if name.startswith(".") or "/" in name or not name.isprintable() or redacted(name) != name:
            raise ConfigError(
                "the name of an experiment must be a plain folder name", where=f"name={name}", fix="name=<letters and digits>"
            )
        return cls(Path(outputs) / name / f"{slug(config)}-{identity(config)}")

    @property
    def id(self) -> str:
        """The run's id, from the directory's name; empty where the name holds none."""
        match = RUN.fullmatch(self.path.name)
        return match[1] if match else ""

    @property
    def outputs(self) -> Path:
        return self.path.absolute().parent.parent

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def overrides(self) -> Path:
        return self.path / "overrides.txt"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def result_file(self) -> Path:
        return self.path / "result.json"

    @property
    def per_image(self) -> Path:
        return self.path / "per_image.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def evaluations(self) -> Path:
        return self.path / "evaluations"

    @property
    def images(self) -> Path:
        return self.path / "images"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def traceback(self) -> Path:
        return self.path / "traceback.txt"

    @property
    def attempts(self) -> Path:
        return self.path / "attempts"

    # ------------------------------------------------------------------------------------------ state

    def read_status(self) -> dict[str, Any]:
        """The record `{"state", "attempt", "step", "error", "failures"}`; a pending one where none was written.

        Where somebody has deleted it, the run goes on: it says "running", as after a kill.
        """
        nothing = {"state": "pending", "attempt": 1, "step": 0, "error": None, "failures": 0}
        try:
            return _sound(nothing | read_json(self.status), self.status)
        except (FileNotFoundError, NotADirectoryError):
            state = "running" if self.manifest.exists() else "pending"
            return nothing | {"state": state, "attempt": self._last_put_away() + 1}

    def state(self) -> str:
        """One of `STATES`."""
        return self.read_status()["state"]

    def result(self) -> dict[str, Any] | None:
        """The final figures; None before they are written."""
        return read_json(self.result_file) if self.result_file.exists() else None

    def update(self, *, state: str | None = None, step: int | None = None, error: Mapping[str, str] | None = None) -> None:
        """Change the status; what isn't given stays."""
        if state is not None and state not in STATES:
            raise ValueError(f"{state!r} is none of the states {', '.join(STATES)}")
        given = {"state": state, "step": step, "error": None if error is None else _told(error)}
        write_json(self.status, self.read_status() | {key: value for key, value in given.items() if value is not None})

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write the final figures, then say that the run is done; or pruned, where they say so."""
        write_json(self.result_file, result)
        self.ended(result)

    def ended(self, result: Mapping[str, Any]) -> None:
        """Say what the final figures mean for the run."""
        state = "done" if result.get("pruned") is None else "pruned"
        write_json(self.status, self.read_status() | {"state": state, "error": None})

    def fail(self, error: BaseException, traceback_text: str) -> None:
        """Keep the traceback, then say that the attempt failed, and of what."""
        write_atomic(self.traceback, redacted(traceback_text))
        self._count_failure("failed", _record(error))

    def died(self, what: str, fix: str = "the same command goes on from its last checkpoint") -> None:
        """Say that the process of the attempt ended without a word; the caller holds the run."""
        log = str(self.log) if self.log.exists() else str(self.path)
        self._count_failure("killed", SegexpError(what, where=log, fix=fix).as_dict() | {"code": "killed"})

    def _count_failure(self, state: str, error: Mapping[str, str]) -> None:
        now = self.read_status()
        write_json(self.status, now | {"state": state, "error": _told(error), "failures": now["failures"] + 1})

    # ------------------------------------------------------------------------------------------ attempts

    def begin(self, config: DictConfig, overrides: Sequence[str], manifest: Mapping[str, Any]) -> int:
        """Start a new attempt: put the one that is there away, write what the new one is, and call it running.

        The caller holds the run: two processes must not begin at once. A log file is to be opened afterwards.

        Args:
            config: the composed config, its interpolations kept.
            overrides: what was typed after `segexp train`.
            manifest: as from `segexp.runs.manifest.manifest`; its id is the run's.

        Returns:
            The attempt's number, from 1.

        Raises:
            ConfigError: the outputs folder can't be written, or the directory holds another run.
        """
        probe(self.outputs)
        self._refuse_another(manifest["id"])
        _make(self.path, self.outputs)
        attempt = self._put_away()
        again = bool(OmegaConf.select(config, "run.again"))
        write_atomic(self.config, OmegaConf.to_yaml(config, resolve=False))
        write_atomic(self.overrides, command(overrides) + "\n")
        write_json(self.manifest, manifest)
        self._write_status("running", attempt, **({"again": True} if again else {}))
        return attempt

    def retry(self, config: DictConfig, overrides: Sequence[str], step: int) -> int:
        """Start the next attempt of a run that failed, where the one before left its checkpoints.

        What tells of the failure moves to `attempts/<k>/`; a kill on the way is made good by the next start.

        Returns:
            The attempt's number.
        """
        now = self.read_status()
        folder = self.attempts / str(now["attempt"])
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "status.json", now)
        for path in (self.path / name for name in _TELLS):
            if path.exists():
                path.rename(_free(folder / path.name))
        return self._go_on(config, overrides, now | {"attempt": now["attempt"] + 1}, step)

    def resume(self, config: DictConfig, overrides: Sequence[str], step: int) -> int:
        """Go on with an attempt that was interrupted, or pruned; returns its number."""
        self.result_file.unlink(missing_ok=True)  # of one that was pruned: it isn't the end any more
        return self._go_on(config, overrides, self.read_status(), step)

    def _go_on(self, config: DictConfig, overrides: Sequence[str], status: Mapping[str, Any], step: int) -> int:
        write_atomic(self.config, OmegaConf.to_yaml(config, resolve=False))  # paths and workers may be others now
        write_atomic(self.overrides, command(overrides) + "\n")
        write_json(self.status, {**status, "state": "running", "step": step, "error": None})
        return status["attempt"]

    def _refuse_another(self, run_id: str) -> None:
        found = read_json(self.manifest).get("id", "") if self.manifest.exists() else self.id
        if found not in ("", run_id):
            raise ConfigError(
                f"the folder belongs to the run {found}, not to {run_id}",
                where=str(self.path),
                fix="leave resume.run out, move the folder away, or choose another with paths.outputs=<folder>",
            )

    def _put_away(self) -> int:
        """Move an attempt that was begun to `attempts/<k>/`, and return the number of the next.

        Its status is copied there first; then the status here says "pending, k" until all has moved, so that a start
        after a kill goes on moving, and nobody takes the half that is left for a run.
        """
        now = self.read_status()
        number, folder = now["attempt"], self.attempts / str(now["attempt"])
        if now["state"] == "pending" and not folder.exists():
            self._write_status("pending", number)  # there is nothing, or only what a beginning has left: written anew
            return number
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "status.json").exists():
            write_json(folder / "status.json", now)
        self._write_status("pending", number)
        for entry in sorted(self.path.iterdir()):
            if entry.name not in _STAYS:
                entry.rename(_free(folder / entry.name))
        sync_folder(folder)
        sync_folder(self.path)
        self._write_status("pending", number + 1)
        return number + 1

    def _write_status(self, state: str, attempt: int, **more: Any) -> None:
        write_json(self.status, {"state": state, "attempt": attempt, "step": 0, "error": None, "failures": 0} | more)

    def _last_put_away(self) -> int:
        found = self.attempts.iterdir() if self.attempts.is_dir() else ()
        return max((int(entry.name) for entry in found if entry.name.isdecimal()), default=0)


def typed(line: str) -> list[str]:
    """The overrides of a command such as `overrides.txt` holds; none where it can't be read."""
    try:
        words = shlex.split(line)[2:]
    except ValueError:
        return []
    return [word for word in words if not word.startswith("-") and ("=" in word or word.startswith("~"))]


def _sound(status: dict[str, Any], path: Path) -> dict[str, Any]:
    """A status as this project writes it: `attempt` names a folder, so that it must be a number and nothing else.

    Raises:
        SegexpError: it isn't.
    """
    numbers = all(type(status[name]) is int and status[name] >= 0 for name in ("attempt", "step", "failures"))
    if not (numbers and status["state"] in STATES and isinstance(status["error"], dict | None)):
        raise SegexpError("not a run's status", where=str(path), fix="restore the file, or delete it: the run goes on")
    return status


def _told(error: Mapping[str, str]) -> dict[str, str]:
    """The record of an error as it is kept: what libraries say may hold a secret."""
    return {key: redacted(str(value)) for key, value in error.items()}


def _record(error: BaseException) -> dict[str, str]:
    if isinstance(error, SegexpError):
        return error.as_dict()
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return {"code": "unexpected", "what": what, "where": "", "fix": "see traceback.txt"}


def _free(path: Path) -> Path:
    """The path, or with the first number after it at which nothing stands."""
    number, free = 1, path
    while os.path.lexists(free):
        number, free = number + 1, path.with_name(f"{path.name}.{number}")
    return free


# ------------------------------------------------------------------------------------------------ the outputs folder


def probe(outputs: Path) -> None:
    """Refuse, before anything costly, an outputs folder in which a run couldn't keep its files.

    The folder is made if the one above it exists.

    Raises:
        ConfigError: it can't be made, written, synced or renamed in.
    """
    if not outputs.is_dir() and not outputs.absolute().parent.is_dir():
        raise _no_outputs(outputs, "the folder above it doesn't exist")
    _make(outputs, outputs)


def _make(folder: Path, outputs: Path) -> None:
    trial = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(trial, "")
        trial.unlink()
    except OSError as error:
        raise _no_outputs(outputs, f"{error.strerror or error}: {error.filename or folder}") from error


def _no_outputs(outputs: Path, why: str) -> ConfigError:
    return ConfigError(f"runs can't be written: {why}", where=f"paths.outputs={outputs}", fix="paths.outputs=<folder>")
