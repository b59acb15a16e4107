"""A tracker that fails must not end a training: one warning, and the run's own files have everything."""

from __future__ import annotations

import atexit
import functools
import warnings
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger

_open: list[Guarded] = []  # those that are still to be ended


class Guarded(Logger):
    """A logger of a config behind a guard: the first error of any kind is told once, and then it is left alone.

    Args:
        make: gives the logger; it may fail, too.
    """

    def __init__(self, make: Callable[[], Logger]) -> None:
        super().__init__()
        self.inner: Any = None
        self.title = _title(make)
        self.inner = self._tried(make)
        if hasattr(self.inner, "end"):
            _open.append(self)

    @property
    def name(self) -> str | None:
        return self._tried(lambda: self.inner.name) if self.inner else self.title

    @property
    def version(self) -> int | str | None:
        return self._tried(lambda: self.inner.version) if self.inner else None

    @property
    def experiment(self) -> Any:
        return self._tried(lambda: getattr(self.inner, "experiment", None)) if self.inner else None

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._call("log_metrics", metrics, step)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        self._call("log_hyperparams", params, *args, **kwargs)

    def save(self) -> None:
        self._call("save")

    def finalize(self, status: str) -> None:
        self._call("finalize", status)

    def end(self) -> None:
        """Bring a tracker that mirrors the run (`segexp.callbacks.mirror.Mirror`) to what the run's files say, and close it."""
        self._call("end")

    def _call(self, method: str, *args: Any, **kwargs: Any) -> None:
        if self.inner is not None:
            self._tried(lambda: getattr(self.inner, method)(*args, **kwargs))

    def _tried(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # trackers fail in every way there is: network, keys, disk
            self.inner = None
            warnings.warn(
                f"{self.title} failed and is left out from here on: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=2
            )
            print(f"warning: {self.title} failed and is left out; the run's own files have every figure", flush=True)
            return None


def end_trackers(folder: Path | None = None) -> None:
    """End the trackers of a run, after its last word is in `status.json`; at the exit of a process all that are left.

    Args:
        folder: of the run; all runs unless given.
    """
    for guarded in list(_open):
        if folder is None or guarded.inner is None or guarded.inner.folder == Path(folder):
            _open.remove(guarded)
            guarded.end()


def ends_first() -> None:
    """At the exit, end trackers before what their libraries have registered until now closes them in its own way."""
    atexit.unregister(end_trackers)
    atexit.register(end_trackers)


def _title(make: Any) -> str:
    """The name of the class that is made; a partial of a config is a partial of a partial."""
    while isinstance(make, functools.partial):
        make = make.func
    return getattr(make, "__name__", "logger")
