"""MLflow as a mirror of a run."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from segexp.callbacks.mirror import Mirror
from segexp.errors import ConfigError

DATABASE = "mlflow.db"  # in the outputs folder
ARTIFACTS = "mlflow-artifacts"
_TAG = "segexp.run"
_BATCH = 500  # values that are sent together; MLflow takes 1000
_LONGEST = 500  # characters of a parameter
_PATIENCE = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
_STATES = {"done": "FINISHED", "pruned": "FINISHED", "failed": "FAILED", "preempted": "KILLED", "killed": "KILLED"}


class MlflowTracker(Mirror):
    """One MLflow run per run, found again by its tag `segexp.run`; in a database in the outputs folder unless told otherwise.

    `mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db` shows it. At the end what the store lacks of `metrics.jsonl` is added.

    Args:
        save_dir: the run's folder.
        tracking_uri: of another store or a server.
        pictures: keep the panels at the end.
    """

    def __init__(self, save_dir: str, *, tracking_uri: str | None = None, pictures: bool = True) -> None:
        super().__init__(save_dir)
        self.outputs = self.folder.absolute().parent.parent
        self.uri = tracking_uri or f"sqlite:///{self.outputs / DATABASE}"
        self.local, self.with_pictures = tracking_uri is None, pictures
        self.waiting: list[Any] = []
        self.sent: set[tuple[str, int]] = set()

    def open(self) -> Any:
        if self.local:
            with closing(sqlite3.connect(self.outputs / DATABASE)) as database:  # fails at once; MLflow tries for two minutes
                database.execute("select 1")
        client = _client(self.uri)
        with _alone(self.outputs / f".{DATABASE}.lock"):  # of many jobs one makes the tables and the experiment
            experiment = self._experiment(client)
            found = client.search_runs([experiment], f"tags.`{_TAG}` = '{self.id}'")
            tags = {_TAG: self.id, "command": self.command(), "folder": str(self.folder)} | dict.fromkeys(self.tags(), "")
            run = found[0] if found else client.create_run(experiment, run_name=self.slug, tags=tags)
        self.run = run.info.run_id
        if found:
            client.update_run(self.run, status="RUNNING")
            self.sent = {(name, point.step) for name in run.data.metrics for point in client.get_metric_history(self.run, name)}
        else:
            self._params(client)
        return client

    def write(self, values: dict[str, float], step: int) -> None:
        client = self.experiment
        self._add((step, name, value) for name, value in values.items())
        if len(self.waiting) >= _BATCH:
            self._send(client)

    def close(self, state: str, error: str) -> None:
        client = self.experiment
        self._add(self.logged())
        last = int(self.status().get("step", 0))
        self._add((last, name, value) for name, value in self.finals().items())
        self._send(client)
        for path in self.pictures() if self.with_pictures else ():
            client.log_artifact(self.run, str(path), "images")
        client.set_tag(self.run, "state", state)
        client.set_tag(self.run, "error", error[:_LONGEST])
        client.set_terminated(self.run, _STATES.get(state, "FAILED"))

    def _experiment(self, client: Any) -> str:
        found = client.get_experiment_by_name(self.group)
        where = (self.outputs / ARTIFACTS).as_uri() if self.local else None
        return found.experiment_id if found else client.create_experiment(self.group, artifact_location=where)

    def _params(self, client: Any) -> None:
        from mlflow.entities import Param

        params = [Param(_plain(key), str(value)[:_LONGEST]) for key, value in self.config().items()]
        for start in range(0, len(params), 100):
            client.log_batch(self.run, params=params[start : start + 100])

    def _add(self, points: Iterable[tuple[int, str, float]]) -> None:
        import time

        from mlflow.entities import Metric

        for step, name, value in points:
            key = (_plain(name), step)
            if key not in self.sent:
                self.sent.add(key)
                self.waiting.append(Metric(key[0], value, int(time.time() * 1000), step))

    def _send(self, client: Any) -> None:
        for start in range(0, len(self.waiting), _BATCH):
            client.log_batch(self.run, metrics=self.waiting[start : start + _BATCH])
        self.waiting.clear()


def _client(uri: str) -> Any:
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    try:
        import alembic  # noqa: F401  # what the local database needs
        import sqlalchemy  # noqa: F401
        from mlflow import MlflowClient
    except ImportError as error:
        raise ConfigError(f"logger=mlflow needs {error.name}", where="logger=mlflow", fix="pip install 'segexp[mlflow]'") from error
    return MlflowClient(tracking_uri=uri)


def _plain(name: str) -> str:
    """MLflow's names have letters, digits and a few signs."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
