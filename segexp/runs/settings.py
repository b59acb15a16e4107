"""The values of keys that this project reads itself: a slip is told before a run is touched, and costs it no attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from segexp.errors import ConfigError
from segexp.ranks.layout import rank_faults
from segexp.runs.sharded import sharded_faults

Check = tuple[Callable[[Any], bool], str, str]  # is it right, what it must be, an example


def _whole(least: int, *, none: bool = False) -> Check:
    def right(value: Any) -> bool:
        return (none and value is None) or (isinstance(value, int) and not isinstance(value, bool) and value >= least)

    return right, f"a whole number from {least}" + (", or null" if none else ""), str(max(least, 2))


def _one_of(*words: str) -> Check:
    return (lambda value: value in words), f"one of {', '.join(words)}", "|".join(words)


def _not_negative(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


_FLAG: Check = ((lambda value: isinstance(value, bool)), "true or false", "true|false")
_SECONDS: Check = (
    lambda value: value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0),
    "a number of seconds, or null",
    "600",
)
_LIMIT: Check = (
    lambda value: value is None or value == -1 or (isinstance(value, int) and not isinstance(value, bool) and value >= 1),
    "a whole number from 1, or -1 for no limit",
    "10",
)
_KEYS: Check = (
    lambda value: isinstance(value, list) and all(isinstance(key, str) for key in value),
    "a list of keys",
    "[optimizer.lr]",
)

CHECKS: Mapping[str, Check] = {
    "run.again": _FLAG,
    "launcher.kind": _one_of("process", "slurm", "ray"),
    "run.max_attempts": _whole(1),
    "run.threads": _whole(1, none=True),
    "resume.mode": _one_of("auto", "must", "never"),
    "resume.override": _KEYS,
    "resume.allow_env_change": _FLAG,
    "weights.skip_head": _FLAG,
    "weights.checkpoint": _one_of("last", "best"),
    "determinism": _one_of("order", "strict"),
    "trainer.on_oom": _one_of("error", "halve"),
    "trainer.skip_nonfinite": _whole(0),
    "trainer.compile": _FLAG,
    "trainer.sync_batchnorm": _FLAG,
    "backbone.freeze": _whole(0),
    "backbone.norm_eval": _FLAG,
    "trainer.max_epochs": _LIMIT,
    "trainer.max_steps": _LIMIT,
    "trainer.accumulate_grad_batches": _whole(1),
    "callbacks.checkpoint.keep": _whole(1),
    "callbacks.checkpoint.every_seconds": _SECONDS,
    "callbacks.checkpoint.every_n_train_steps": _whole(1, none=True),
    "data.loader.workers": _whole(0),
    "data.loader.persistent_workers": _FLAG,
    "data.loader.batch_size": _whole(1),
    "data.loader.eval_batch_size": _whole(1),
    "data.limit": _whole(1, none=True),
    "data.folds": _whole(2, none=True),
    "data.fold": _whole(0),
    "data.fold_seed": _whole(0),
    "data.sampling": _one_of("uniform", "balanced"),
    "data.on_bad": _one_of("error", "skip"),
    "data.max_bad": _whole(0),
    "data.allow_overlap": _FLAG,
    "data.allow_outside": _FLAG,
    "data.max_pixels": _whole(1),
    "data.loader.restarts": _whole(0),
    "data.loader.timeout": (_not_negative, "a number of seconds, 0 for no limit", "120"),
}


def ranked_faults(config: DictConfig) -> Iterator[tuple[str, Any, str, str]]:
    """What ranks can't do: each key, its value, what is wrong with it, what to type instead."""
    yield from rank_faults(config)
    yield from sharded_faults(config)


def check_settings(config: DictConfig) -> None:
    """Refuse values that make no sense, all at once; keys that a config hasn't are left out.

    Raises:
        ConfigError: names each key, what it must be, and an example.
    """
    wrong = []
    for key, (right, must, example) in CHECKS.items():
        value = OmegaConf.select(config, key, default=wrong)
        value = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        if value is not wrong and not right(value):
            wrong.append((key, value, must, example))
    if not wrong:
        for key, value, what, fix in ranked_faults(config):
            raise ConfigError(what, where=f"{key}={value}", fix=fix)
    if wrong:
        what = "; ".join(f"{key} must be {must}" for key, _, must, _ in wrong)
        where = ", ".join(f"{key}={value}" for key, value, _, _ in wrong)
        raise ConfigError(what, where=where, fix=" ".join(f"{key}={example}" for key, _, _, example in wrong))
