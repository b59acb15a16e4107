"""A search from its plan to its best run: open the study, make its trials, say what was found."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from segexp.allow import command
from segexp.errors import SegexpError, StoppedError
from segexp.search.plan import Plan
from segexp.search.study import JOURNAL, mend, open_study, require_optuna
from segexp.search.trials import Trials
from segexp.search.warm import first_values
from segexp.sweeps.jobs import Job
from segexp.sweeps.launchers import Launcher, launcher
from segexp.sweeps.page import told
from segexp.sweeps.sweep import Sweep, mine
from segexp.sweeps.table import display, summary

if TYPE_CHECKING:
    from optuna import Study

ENDED = ("done", "pruned", "failed")


def search(plan: Plan, overrides: Sequence[str]) -> int:
    """Make the trials of a search until there are as many as it is to have; a search that was stopped or killed goes on.

    Works inside `segexp.config.session`.

    Args:
        plan: of the command.
        overrides: what was typed after `segexp train -m`.

    Returns:
        0: all trials have ended, at least one of them well.

    Raises:
        ConfigError: Optuna is missing, the storage can't be opened, or no run has the figure that is searched for.
        HeldError: another process has this search.
        StoppedError: a signal came; the same command goes on.
        SegexpError: no trial ended well.
    """
    require_optuna()
    launches = launcher(plan.launcher)
    about = {key: value for key, value in plan.settings.plain().items() if key != "warm"} | {"trials": plan.settings.trials}
    whole = Sweep([], command(overrides, "-m"), folder=plan.folder, common=plan.common, total=plan.settings.trials, search=about)
    with mine(whole):
        study, storage = _study(plan, several=launches.jobs > 1)
        if not study.get_trials(deepcopy=False):
            _look(overrides)
        stopped = _run(whole, Trials(whole, plan, study, slots=launches.jobs, storage=storage), launches)
    print(f"\n{summary(whole)}\n{whole.folder}", flush=True)
    told(whole)
    _tell(whole, plan, study, command(overrides, "-m"), stopped)
    return 0


def _look(overrides: Sequence[str]) -> None:
    """Refuse a figure that no chain gives, if one was typed: else the first run would be trained before that is said.

    Raises:
        ConfigError: names the figures that there are.
    """
    if not any(text.startswith("sweep.metric=") for text in overrides):
        return
    from segexp.check.jobs import check, expanded, verdict

    print("looking whether runs have the figure that is searched for", flush=True)
    if error := verdict(check(expanded(overrides, multirun=True)[:1], data=False)):
        raise error


def _study(plan: Plan, *, several: bool) -> tuple[Study, str]:
    """The study, and where it is kept; what its first trials are given is settled when it is made."""
    journal = (plan.folder / JOURNAL).absolute()
    mend(journal)
    storage = plan.settings.storage or str(journal)
    study = open_study(plan.folder.name, plan.settings, storage, several=several)
    if "first" not in study.user_attrs:
        study.set_user_attr("first", first_values(plan.settings, plan.dimensions))
    study.sampler.first = study.user_attrs["first"]  # ty: ignore[missing-attribute]
    return study, storage


def _run(whole: Sweep, trials: Trials, launches: Launcher) -> str | None:
    """Make the trials that are missing; returns the signal that stopped it."""
    whole.total = max(whole.total, len(whole.jobs))
    whole.write()
    states = Counter(job.state for job in whole.jobs)
    left = whole.total - sum(states[state] for state in ENDED)
    print(f"{whole.total} trials: {states['done']} done, {states['pruned']} pruned, {states['failed']} failed, {left} to run", flush=True)
    if not left:
        return None
    if launches.jobs > 1:
        print("with several at a time what is drawn depends on which ends first; launcher.jobs=1 draws the same each time", flush=True)
    try:
        with display(whole) as shown:
            return launches.launch(whole, trials, shown)
    finally:
        whole.write()


# ------------------------------------------------------------------------------------------------ the end


def _tell(whole: Sweep, plan: Plan, study: Study, again: str, stopped: str | None) -> None:
    """Say what was found, and of what trials failed; raise what the search ends with, if it hasn't ended."""
    for job in whole.jobs:
        if job.state == "failed":
            log = f"\n  log: {job.log}" if job.log and job.log.exists() else ""
            print(f"trial {job.number}: {command(job.overrides)}\n  {job.error}{log}", file=sys.stderr, flush=True)
    print("\n".join(best(whole, plan, study)), flush=True)
    where, left = str(whole.folder), whole.total - sum(job.state in ENDED for job in whole.jobs)
    if left:
        why = f"stopped by {stopped}" if stopped else "jobs were asked to stop"
        raise StoppedError(f"{why}: {left} of {whole.total} trials are not done", where=where, fix=again)
    if not any(job.state == "done" for job in whole.jobs):
        raise SegexpError(f"none of {whole.total} trials ended well", where=where, fix="mend what the first says, then sweep.seed=1")


def best(whole: Sweep, plan: Plan, study: Study) -> list[str]:
    """The lines on the best trial, or on those that no other beats in everything, each with the command of its run."""
    from optuna.trial import TrialState

    if not study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
        return []
    rows = {job.trial: job for job in whole.jobs}
    found = [rows[trial.number] for trial in study.best_trials]
    if len(plan.settings.metrics) == 1:
        return [f"best: {_line(found[0])}", f"  {command(found[0].overrides)}"]
    lines = [line for job in found for line in (f"  {_line(job)}", f"    {command(job.overrides)}")]
    return [f"{len(found)} trials that no other beats in all of {', '.join(plan.settings.metrics)}:", *lines]


def _line(job: Job) -> str:
    return f"trial {job.number}, " + ", ".join(f"{name} {value:.6g}" for name, value in job.values.items())
