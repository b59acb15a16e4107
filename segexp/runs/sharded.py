"""What `trainer=fsdp` can't do, told before a run is touched; torch isn't imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

REFUSED = (  # key, value, what is wrong with it, what to type instead
    ("trainer.compile", True, "stages that are cut among ranks aren't compiled", "trainer.compile=false"),
    (
        "trainer.precision",
        "16-mixed",
        "gradients that are cut among ranks aren't scaled",
        "trainer.precision=bf16-mixed",
    ),
)
AVERAGED = "segexp.callbacks.averaging.AveragedWeights"


def sharded_faults(config: DictConfig) -> Iterator[tuple[str, Any, str, str]]:
    """What a config asks of a sharded training in vain: each key, its value, what is wrong with it, what to type instead."""
    if OmegaConf.select(config, "trainer.strategy", default=None) != "fsdp":
        return
    for key, value, what, fix in REFUSED:
        if OmegaConf.select(config, key, default=None) == value:
            yield key, value, what, f"{fix}, or trainer=ddp"
    for name in OmegaConf.select(config, "callbacks", default=None) or ():
        if OmegaConf.select(config, f"callbacks.{name}._target_", default=None) == AVERAGED:
            key = f"callbacks.{name}"
            yield key, AVERAGED, "weights that are cut among ranks aren't averaged over time", f"{key}=null, or trainer=ddp"
