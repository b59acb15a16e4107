"""What a tracker mirrors of a run: the files of its folder, which alone are the truth."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from segexp.callbacks.guarded import ends_first
from segexp.errors import SegexpError
from segexp.functional.files import read_json
from segexp.functional.references import follow

_POWER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")  # text to PyYAML, a number to what wrote it
_RUN = re.compile(r"(?:(.*)-)?([0-9a-f]{12})")
_PRIVATE = ("paths", "logger")  # where things are and who is told: no setting of an experiment


class Mirror(Logger):
    """A tracker with one entry per run, whatever its attempts, that ends as the run's files say.

    A subclass opens its entry in `open`, under the same id each time, so that a run that goes on goes on there.

    Args:
        save_dir: the run's folder, `<outputs>/<name>/<slug>-<id>`.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__()
        self.folder = Path(save_dir)
        match = _RUN.fullmatch(self.folder.name)
        self.slug, self.id = (match[1] or match[2], match[2]) if match else (self.folder.name, self.folder.name)
        self.group = self.folder.absolute().parent.name
        self.opened: Any = None

    @property
    def name(self) -> str:
        return self.group

    @property
    def version(self) -> str:
        return self.id

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The entry, opened when it is first needed."""
        if self.opened is None:
            self.opened = self.open()
            ends_first()
        return self.opened

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.write({name: float(value) for name, value in metrics.items() if name != "epoch"}, step or 0)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the config is taken from the run's folder, where secrets are names of variables."""

    @rank_zero_only
    def end(self) -> None:
        """Write the last figures and pictures, say how the run ended, and close the entry."""
        if self.opened is None:
            return
        status = self.status()
        error = status.get("error") or {}
        self.close(str(status.get("state")), SegexpError(**_said(error)).line() if error else "")
        self.opened = None

    # ------------------------------------------------------------------ for subclasses

    @abstractmethod
    def open(self) -> Any:
        """Open the entry."""

    @abstractmethod
    def write(self, values: dict[str, float], step: int) -> None:
        """Write values of a step."""

    @abstractmethod
    def close(self, state: str, error: str) -> None:
        """Write the last of the run, and close the entry.

        Args:
            state: of the run: done, failed, preempted, pruned.
            error: the line of a failure; empty otherwise.
        """

    # ------------------------------------------------------------------ what the folder says

    def config(self) -> dict[str, Any]:
        """The leaves of the stored config by dotted key; references to other keys are followed, `${oc.env:NAME}` stays."""
        tree = yaml.safe_load((self.folder / "config.yaml").read_text(encoding="utf-8"))
        leaves = dict(_leaves(tree, ""))
        return {key: follow(value, leaves) for key, value in leaves.items() if key.partition(".")[0] not in _PRIVATE}

    def tags(self) -> list[str]:
        """The config's `tags`, if it has any."""
        found = self.config().get("tags")
        return [str(tag) for tag in found] if isinstance(found, list) else []

    def command(self) -> str:
        """What was typed."""
        path = self.folder / "overrides.txt"
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    def status(self) -> dict[str, Any]:
        """`status.json`; empty where there is none."""
        path = self.folder / "status.json"
        return read_json(path) if path.exists() else {}

    def finals(self) -> dict[str, float]:
        """The figures of `result.json` as `final/val/miou`; nothing before they are there."""
        path = self.folder / "result.json"
        result = read_json(path) if path.exists() else {}
        splits = {name: result.get(name) or {} for name in ("val", "test")}
        return {f"final/{name}/{key}": value for name, part in splits.items() for key, value in part.items() if value is not None}

    def logged(self) -> Iterator[tuple[int, str, float]]:
        """(step, name, value) of `metrics.jsonl`; a line that was cut off ends it."""
        path = self.folder / "metrics.jsonl"
        for line in path.read_text().splitlines() if path.exists() else ():
            try:
                record = json.loads(line)
            except ValueError:
                return
            if record["value"] is not None:
                yield int(record["step"] or 0), record["name"], float(record["value"])

    def pictures(self) -> list[Path]:
        """The panels of the last evaluations."""
        return sorted((self.folder / "images").glob("*.png"))


def _said(error: dict[str, str]) -> dict[str, str]:
    return {key: str(error.get(key) or "") for key in ("what", "where", "fix")}


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{key}.{name}" if key else str(name))
    else:
        yield key, float(value) if isinstance(value, str) and _POWER.fullmatch(value) else value
