"""The trials of a search as jobs: drawn when there is room for one, and told to the study when they have ended.

Whoever holds the sweep's lock owns every trial that the study calls running: only here is a trial told how it ended. One that
a killed driver has left is told what its run has reached, waited for while its process lives, or started once more.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.catalogue import did_you_mean, suggest
from segexp.errors import ConfigError, SegexpError
from segexp.report.record import flatten
from segexp.runs.directory import RunDirectory
from segexp.runs.lock import is_held
from segexp.search.draw import draw
from segexp.search.plan import Plan
from segexp.search.settings import value_of
from segexp.sweeps.jobs import Job, composed, error_line, exhausted
from segexp.sweeps.sweep import Sweep

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

BUSY = 1.0  # seconds between two looks at a run that another process has


class Trials:
    """The source of a search's jobs (see `segexp.sweeps.source`).

    Works inside `segexp.config.session`.

    Args:
        whole: the sweep; its jobs are added as they come.
        plan: the search.
        study: its trials so far.
        slots: how many jobs are made at a time.
        storage: where the study is kept, for the processes of runs.
    """

    def __init__(self, whole: Sweep, plan: Plan, study: Study, *, slots: int, storage: str) -> None:
        self.whole, self.plan, self.study, self.slots, self.storage = whole, plan, study, slots, storage
        self.queue: deque[Job] = deque()
        self.open: set[int] = set()  # trials that aren't told yet and are worked at
        self.before: dict[int, int] = {}  # trial -> failures of its run when it was drawn
        self.asked = 0
        for trial in study.get_trials(deepcopy=False):
            self._restore(trial)

    @property
    def several(self) -> bool:
        """Are several processes to be expected?"""
        return self.plan.settings.trials - self.asked + len(self.queue) > 1

    @property
    def pause(self) -> float:
        """Seconds until a run that another process has may be free."""
        return BUSY if self.queue else math.inf

    def __bool__(self) -> bool:
        return bool(self.queue) or self.asked < self.plan.settings.trials

    def take(self) -> Job | None:
        """The next trial's job; None while all that may be worked at is."""
        for _ in range(len(self.queue)):
            job = self.queue.popleft()
            if _busy(job):
                self.queue.append(job)
            elif not self._over(job, fresh=False):
                return job
        while self.asked < self.plan.settings.trials and len(self.open) < self.slots:
            job = self._job(self._asked())
            self.whole.add(job)
            if _busy(job):
                self.queue.append(job)
            elif not self._over(job, fresh=True):
                return job
        return None

    def back(self, job: Job) -> None:
        """It is the next."""
        self.queue.appendleft(job)

    def ended(self, job: Job) -> None:
        """Tell the study, unless the trial goes on: now, where another process had its run, or with the next command."""
        if job.state == "held":
            job.state, job.error = "pending", ""
            self.queue.append(job)
        elif job.state in ("done", "pruned", "failed"):
            self._tell(job)
        else:
            self.open.discard(_number(job))

    def fileno(self) -> int | None:
        return None

    def receive(self) -> list[Job]:
        return []

    # ------------------------------------------------------------------------------------------ trials into jobs

    def _asked(self) -> int:
        """The number of a new trial."""
        number = self.study.ask().number
        self.asked = number + 1
        return number

    def _restore(self, trial: FrozenTrial) -> None:
        """A trial of before: its row, and its job if it hasn't ended."""
        self.asked = max(self.asked, trial.number + 1)
        if trial.state.name in ("RUNNING", "WAITING"):
            job = self._job(trial.number)
            self.queue.append(job)
        else:
            job = _told(trial, self.plan)
        self.whole.add(job)

    def _job(self, number: int) -> Job:
        """The job of a trial that runs: what was drawn is kept, what is missing is drawn, and it is composed."""
        import optuna

        self.open.add(number)
        frozen = self.study.get_trials(deepcopy=False)[number]
        trial = optuna.Trial(self.study, frozen._trial_id)
        overrides = frozen.user_attrs.get("overrides")
        if overrides is None:
            try:
                overrides = draw(self.plan.dimensions, self.plan.common, trial)
            except SegexpError as error:
                job = Job(number + 1, list(self.plan.common), trial=number)
                job.fail(error.code, error.line())
                return job
            trial.set_user_attr("overrides", overrides)
        job = composed(number + 1, overrides)
        job.trial = number
        if job.directory:
            self._note(job, trial, frozen.user_attrs)
        return job

    def _note(self, job: Job, trial: Any, known: Mapping[str, Any]) -> None:
        """Keep which run a trial has, and how often it had failed by then."""
        if known.get("run") != (run := job.run.path.name):
            trial.set_user_attr("run", run)
            with suppress(SegexpError):
                trial.set_user_attr("failures", self.before.setdefault(_number(job), job.run.read_status()["failures"]))
        else:
            self.before[_number(job)] = known.get("failures", 0)
        if pruning := self.plan.settings.pruning:
            metric = self.plan.settings.metrics[0]
            job.search = {"study": self.study.study_name, "storage": self.storage, "trial": job.trial, "metric": metric, "pruning": pruning}

    # ------------------------------------------------------------------------------------------ how trials end

    def _over(self, job: Job, *, fresh: bool) -> bool:
        """Tell the study of a trial that needs no process; False if it needs one."""
        if job.directory is None:
            self._tell(job)
            return True
        try:
            record = job.run.read_status()
            if record["state"] in ("done", "pruned") and (result := job.run.result()) is not None:
                if record["state"] == "done" or self._pruned(job, result):
                    job.state = record["state"]
            elif exhausted(job, record) or (not fresh and record["failures"] > self.before.get(_number(job), 0) and _failed(record)):
                job.fail(f"{record['failures']} times", error_line(record))
        except SegexpError as error:  # a status that can't be read
            job.fail(error.code, error.line())
        if job.state == "pending":
            return False
        self._tell(job)
        return True

    def _pruned(self, job: Job, result: Mapping[str, Any]) -> bool:
        """Was the run pruned in this search? If as that of another trial, this one gets its reports."""
        by = result.get("search") or {}
        if by.get("study") != self.study.study_name:
            return False
        if by["trial"] != job.trial:
            own, trials = self._trial(job), self.study.get_trials(deepcopy=False)
            for step, value in trials[by["trial"]].intermediate_values.items():
                if step not in trials[_number(job)].intermediate_values:
                    own.report(value, step)
        return True

    def _tell(self, job: Job) -> None:
        """Say how a trial ended; of one that is done the figures are its values."""
        from optuna.trial import TrialState

        if job.state == "done":
            job.values = self._values(job)
            if len(job.values) < len(self.plan.settings.metrics):
                job.fail("no figure", f"a figure of {', '.join(self.plan.settings.metrics)} is none of a number")
        if job.state == "done":
            self.study.tell(_number(job), list(job.values.values()))
        else:
            if job.state == "failed":
                self._trial(job).set_user_attr("cause", job.cause)
                self._trial(job).set_user_attr("error", job.error)
            self.study.tell(_number(job), state=TrialState.PRUNED if job.state == "pruned" else TrialState.FAIL)
        self.open.discard(_number(job))

    def _trial(self, job: Job) -> Trial:
        import optuna

        return optuna.Trial(self.study, self.study.get_trials(deepcopy=False)[_number(job)]._trial_id)

    def _values(self, job: Job) -> dict[str, float]:
        """The figures that are numbers.

        Raises:
            ConfigError: no run has a figure of that name.
        """
        found, result = {}, job.run.result() or {}
        for metric in self.plan.settings.metrics:
            try:
                value = value_of(result, metric)
            except KeyError:
                raise _no_figure(metric, result, job.run.path) from None
            if isinstance(value, (int, float)) and math.isfinite(value):
                found[metric] = float(value)
        return found


def _told(trial: FrozenTrial, plan: Plan) -> Job:
    """The row of a trial that has ended, of what the study knows: nothing is composed."""
    kept = trial.user_attrs
    directory = RunDirectory(plan.folder.parent.parent / kept["run"]) if "run" in kept else None
    job = Job(trial.number + 1, kept.get("overrides", list(plan.common)), directory, trial=trial.number)
    job.state = {"COMPLETE": "done", "PRUNED": "pruned"}.get(trial.state.name, "failed")
    job.cause, job.error = kept.get("cause", ""), kept.get("error", "")
    if job.state == "done":
        job.values = dict(zip(plan.settings.metrics, trial.values or (), strict=True))
    job.settings = {"run": {"again": False, "max_attempts": 0}}
    return job


def _number(job: Job) -> int:
    assert job.trial is not None
    return job.trial


def _busy(job: Job) -> bool:
    """Has another process the job's run?"""
    return job.directory is not None and is_held(job.directory.lock)


def _failed(record: Mapping[str, Any]) -> bool:
    return record["state"] in ("failed", "killed")


def _no_figure(metric: str, result: Mapping[str, Any], run: Path) -> ConfigError:
    shown = {key: value for key, value in result.items() if key not in ("config", "curves", "monitor", "best")}
    names = [f"{split}/{name}" for split in ("val", "test") for name in shown.pop(split, None) or {}]
    near = suggest(metric, [*names, *flatten(shown)])
    fix = did_you_mean([f"sweep.metric={name}" for name in near]) if near else "sweep.metric=val/miou"
    return ConfigError(f"runs have no figure {metric}", where=f"sweep.metric={metric}; {run / 'result.json'}", fix=fix)
