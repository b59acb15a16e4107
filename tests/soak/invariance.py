"""What says only where and how a run goes doesn't change it: one hash of the weights."""

from __future__ import annotations

from collections.abc import Sequence

from tests.soak.bench import Bench, Row
from tests.soak.trial import weights

VARIANTS = (
    ["data.loader.workers=1"],
    ["data.loader.workers=2"],
    ["data.loader.workers=2", "data.loader.persistent_workers=false"],
    ["data.loader.cache=true", "data.loader.eval_batch_size=3"],
    ["trainer.check_val_every_n_epoch=3"],
    ["trainer.check_val_every_n_epoch=2", "data.loader.workers=2"],
    ["callbacks.progress.every=0.1", "callbacks.panels.count=2", "trainer.log_every_n_steps=5"],
    ["callbacks.checkpoint.every_n_train_steps=5", "callbacks.checkpoint.keep=5"],
    ["callbacks.checkpoint.every_seconds=0.2", "data.loader.workers=2"],
    ["logger=tensorboard"],
    ["logger=wandb"],
)
SEQUENCES = len(VARIANTS)


def one(bench: Bench, number: int) -> Row:
    """Make one variant of the run."""
    wanted, variant = bench.whole()["ending"]["weights"], VARIANTS[number]
    trial = bench.trial(f"invariance-{number}", *variant)
    try:
        trial.finish()
        found, problems = weights(trial.run), []
    except AssertionError as error:
        found, problems = "", [str(error)]
    if "failed and is left out" in trial.text():
        problems.append("its logger failed")
    return {"variant": variant, "weights": found, "problems": problems or ([] if found == wanted else [f"the weights are {found}"])}


def line(row: Row) -> str:
    """A variant in a line."""
    return f"{row['weights'][:16]}  {' '.join(row['variant'])}"


def summary(rows: Sequence[Row]) -> tuple[dict[str, int], list[str]]:
    """How many variants, and how many results."""
    return {"variants": len(rows), "hashes of the weights": len({row["weights"] for row in rows})}, []
