"""Weights & Biases as a mirror of a run."""

from __future__ import annotations

from typing import Any

from segexp.callbacks.mirror import Mirror

_STEP = "step"
_OFF = ("disable_git", "disable_code", "disable_job_creation", "x_disable_meta", "x_disable_stats", "x_disable_machine_info")
_SETTINGS: dict[str, Any] = {"silent": True, "console": "off"} | dict.fromkeys(_OFF, True)


class WandbTracker(Mirror):
    """One W&B run per run, with its id; offline unless told otherwise: `wandb sync <run>/wandb/latest-run` sends it later.

    Offline each process that goes on with the run writes a file with all of it, so that the latest is whole.

    Nothing is taken but what is in the run's files: neither the screen, the command line, the code, nor the environment.

    Args:
        save_dir: the run's folder.
        project, entity: of W&B; the group is the experiment's name.
        offline: write to the run's folder alone.
        pictures: send the panels at the end.
    """

    def __init__(
        self, save_dir: str, *, project: str = "segexp", entity: str | None = None, offline: bool = True, pictures: bool = True
    ) -> None:
        super().__init__(save_dir)
        self.project, self.entity, self.offline, self.with_pictures = project, entity, offline, pictures

    def open(self) -> Any:
        import wandb

        known = wandb.Settings.model_fields  # versions differ in what can be turned off
        settings = wandb.Settings(**{name: value for name, value in _SETTINGS.items() if name in known})
        run = wandb.init(
            project=self.project,
            entity=self.entity,
            id=self.id,
            name=self.slug,
            group=self.group,
            tags=self.tags(),
            notes=self.command(),
            config=self.config(),
            dir=str(self.folder),
            mode="offline" if self.offline else "online",
            resume=None if self.offline else "allow",  # offline files of one id are joined when they are sent
            reinit="create_new",
            settings=settings,
        )
        run.define_metric("*", step_metric=_STEP)  # W&B's own steps can't go back to a checkpoint
        self._catch_up(run)
        return run

    def _catch_up(self, run: Any) -> None:
        """Write what the run has logged and W&B hasn't, when it goes on: a killed process leaves values unwritten."""
        last = run.summary.get(_STEP, -1)
        rows: dict[int, dict[str, float]] = {}
        for step, name, value in self.logged():
            if step > last:
                rows.setdefault(step, {})[name] = value
        for step, values in rows.items():
            run.log({_STEP: step, **values})

    def write(self, values: dict[str, float], step: int) -> None:
        self.experiment.log({_STEP: step, **values})

    def close(self, state: str, error: str) -> None:
        import wandb

        run = self.experiment
        if self.with_pictures and (pictures := self.pictures()):
            run.log({f"images/{path.stem}": wandb.Image(str(path)) for path in pictures})
        run.summary.update({**self.finals(), "state": state, **({"error": error} if error else {})})
        if state == "preempted":
            run.mark_preempting()
        run.finish(exit_code=0 if state in ("done", "pruned") else 1)
