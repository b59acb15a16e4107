"""What `trainer=fsdp` can't do, told before a run is touched; torch isn't imported."""

from __future__ import annotations

from collections.abc import Mapping
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


def sharded_faults(config: DictConfig | Mapping[str, Any]) -> list[tuple[str, Any, str, str]]:
    """What a config asks of a sharded training in vain: each key, its value, what is wrong with it, what to type instead."""
    found: Any = config if OmegaConf.is_config(config) else OmegaConf.create(dict(config))
    if OmegaConf.select(found, "trainer.strategy", default=None) != "fsdp":
        return []
    refused = [fault for fault in REFUSED if OmegaConf.select(found, fault[0], default=None) == fault[1]]
    faults = [(key, value, what, f"{fix}, or trainer=ddp") for key, value, what, fix in refused]
    for name in OmegaConf.select(found, "callbacks", default=None) or ():
        if OmegaConf.select(found, f"callbacks.{name}._target_", default=None) == AVERAGED:
            key = f"callbacks.{name}"
            faults.append((key, AVERAGED, "weights that are cut among ranks aren't averaged over time", f"{key}=null, or trainer=ddp"))
    return faults
