"""Optuna's study of a search: where it is kept, with which sampler and pruner, and what a run reports to it."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.errors import ConfigError
from segexp.search.settings import Settings

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage

JOURNAL = "study.journal"  # in the sweep's folder
PASSWORD = re.compile(r"(?<=:)[^:/@\s]+(?=@)")  # of an URL


def require_optuna() -> None:
    """Import Optuna, and keep it quiet.

    Raises:
        ConfigError: it isn't installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("a search needs optuna", where="sweep.sampler", fix="pip install 'segexp[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def open_study(name: str, wanted: Settings, storage: str, *, several: bool) -> Study:
    """The study of a search, made if it isn't there.

    Args:
        name: of the study.
        wanted: the search's settings.
        storage: a journal's path, or an URL.
        several: are several trials made at a time?

    Raises:
        ConfigError: Optuna isn't installed, or the storage can't be opened.
    """
    require_optuna()
    import optuna
    from optuna.study import StudyDirection

    from segexp.search.keyed import Keyed

    sampler = Keyed(lambda seed: _sampler(wanted, seed, several=several), wanted.seed)
    try:
        kept = opened(storage)
        return optuna.create_study(
            storage=kept,
            study_name=name,
            sampler=sampler,
            pruner=pruner(wanted.pruning),
            directions=[StudyDirection[way.upper()] for way in wanted.directions],
            load_if_exists=True,
        )
    except (ValueError, ImportError, OSError, optuna.exceptions.OptunaError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        what, where = (PASSWORD.sub("***", text) for text in (f"the study can't be opened: {said}", f"sweep.storage={storage}"))
        raise ConfigError(what, where=where, fix="sweep.storage=null") from error


def opened(storage: str) -> BaseStorage:
    """A storage of a journal's path or of an URL."""
    if "://" in storage:
        from optuna.storages import RDBStorage

        patience = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
        return RDBStorage(storage, engine_kwargs=patience)
    from segexp.search.journal import journal

    return journal(storage)


def mend(journal: Path) -> None:
    """Cut off a line that was being written when the machine died; the next one would be read as its end."""
    from segexp.search.journal import SystemLock

    if not journal.is_file():
        return
    lock = SystemLock(f"{journal}.lock")  # a run that has outlived its driver for a moment may be reporting
    lock.acquire()
    try:
        text = journal.read_bytes()
        if not text.endswith(b"\n"):
            os.truncate(journal, text.rfind(b"\n") + 1)
    finally:
        lock.release()


def _sampler(wanted: Settings, seed: int, *, several: bool) -> BaseSampler:
    from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler

    if wanted.sampler == "tpe":
        return TPESampler(n_startup_trials=wanted.startup, multivariate=True, group=True, constant_liar=several, seed=seed)
    if wanted.sampler == "nsga2":
        return NSGAIISampler(population_size=max(2, wanted.startup), seed=seed)
    return RandomSampler(seed=seed)


def pruner(told: Mapping[str, Any] | None) -> BasePruner:
    """The pruner of `Settings.pruning`."""
    from optuna.pruners import MedianPruner, NopPruner

    from segexp.search.halving import Halving

    if told is None:
        return NopPruner()
    if told["pruner"] == "median":
        return MedianPruner(n_startup_trials=told["startup"], n_warmup_steps=told["rung"])
    return Halving(told["rung"], told["factor"])


def reporter(told: Mapping[str, Any]) -> Callable[[int, float], bool]:
    """What a run calls after each validation, with its number and the figure; True if the run is to end.

    Only this process's trial is written to, and never how it ends: that is the driver's part.

    Args:
        told: `{"storage", "study", "trial", "pruning"}`, as in the document of `segexp.sweeps.child`.
    """
    require_optuna()
    import optuna

    study = optuna.load_study(study_name=told["study"], storage=opened(told["storage"]), pruner=pruner(told["pruning"]))
    own = next(trial for trial in study.get_trials(deepcopy=False) if trial.number == told["trial"])
    trial, known = optuna.Trial(study, own._trial_id), own.last_step or 0

    def report(step: int, value: float) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a step that is reported again after going on is left as it was
            trial.report(value, step)
        return step >= known and trial.should_prune()  # what went on at an earlier step isn't asked again: it would be of the last

    return report
