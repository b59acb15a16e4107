"""How many ranks a run has, and which of them this process is: from its config, and from what started it.

Ranks are started by `srun` or `torchrun`, one process each, or by the first of them on its machine. This reads nothing but the
config and the environment.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from segexp.errors import ConfigError

MINE = "SEGEXP_RANK"  # what a first rank tells those that it starts: "<rank> <host:port of the roster>"
LOOPBACK = "127.0.0.1"  # where ranks of one machine meet
_PORTS = (20000, 10000)  # of rosters under Slurm: from, how many


@dataclass(frozen=True)
class Layout:
    """The ranks of a run, and this one.

    Args:
        world: the number of ranks.
        local: those of one machine.
        rank: this one.
        started: by `srun`, `torchrun`, or `segexp` (the first rank; also of a single one).
        address: host and port of the first rank's roster; port 0 for any that is free.
    """

    world: int = 1
    local: int = 1
    rank: int = 0
    started: str = "segexp"
    address: tuple[str, int] = (LOOPBACK, 0)

    @property
    def local_rank(self) -> int:
        return self.rank % self.local

    @property
    def node(self) -> int:
        return self.rank // self.local


def ranks_of(config: DictConfig) -> tuple[int, int]:
    """(machines, ranks on each) that a config asks for; 1 where it says it in another way (see `rank_faults`)."""
    devices, nodes = (OmegaConf.select(config, f"trainer.{key}", default=1) for key in ("devices", "num_nodes"))
    local = devices if _whole(devices) else len(devices) if OmegaConf.is_list(devices) else 1
    return nodes if _whole(nodes) else 1, local


def layout(config: DictConfig, environment: Mapping[str, str] = os.environ) -> Layout:
    """The ranks of a config, and which this process is.

    Args:
        config: composed.
        environment: variables.

    Raises:
        ConfigError: several machines are asked for, and nothing has started their ranks; or another number was started.
    """
    nodes, local = ranks_of(config)
    world = nodes * local
    if mine := environment.get(MINE):
        number, _, address = mine.partition(" ")
        host, _, port = address.rpartition(":")
        return Layout(world, local, int(number), "segexp", (host, int(port)))
    if (steps := int(environment.get("SLURM_STEP_NUM_TASKS", 1))) > 1:
        machines, how = int(environment.get("SLURM_STEP_NUM_NODES", nodes)), f"srun --nodes={nodes} --ntasks-per-node={local}"
        _require(world, steps, f"srun has started {steps} ranks", how)
        _require(nodes, machines, f"srun has started ranks on {machines} machines", how)
        host, rank = _first_host(environment) if nodes > 1 else LOOPBACK, int(environment["SLURM_PROCID"])
        if int(environment.get("SLURM_LOCALID", rank % local)) != rank % local:
            what = f"srun hasn't filled one machine after the other: rank {rank} is number {environment['SLURM_LOCALID']} of its machine"
            raise ConfigError(what, where="SLURM_LOCALID", fix=f"{how} --distribution=block")
        return Layout(world, local, rank, "srun", (host, _port(environment)))
    if (workers := int(environment.get("WORLD_SIZE", 1))) > 1:
        _require(world, workers, f"torchrun has started {workers} ranks", f"torchrun --nnodes={nodes} --nproc-per-node={local}")
        host, port = environment["MASTER_ADDR"] if nodes > 1 else LOOPBACK, int(environment["MASTER_PORT"])
        return Layout(world, local, int(environment["RANK"]), "torchrun", (host, port + 1))
    if nodes > 1:
        fix = f"start its ranks with srun (--nodes={nodes} --ntasks-per-node={local}) or torchrun, or launcher=slurm"
        raise ConfigError(f"a run on {nodes} machines can't start itself on the others", where=f"trainer.num_nodes={nodes}", fix=fix)
    return Layout(world, local)


def rank_faults(config: DictConfig) -> Iterator[tuple[str, Any, str, str]]:
    """What a config says of ranks, or asks of several, in vain: each key, its value, what is wrong with it, what to type instead."""
    devices = OmegaConf.select(config, "trainer.devices", default=1)
    if not (OmegaConf.is_list(devices) and len(devices)) and not (_whole(devices) and devices >= 1):
        what = "the number of ranks of one machine must be said: a run is defined by its batch, which grows with it"
        yield "trainer.devices", devices, what, "trainer.devices=2, or a list of device numbers"
    nodes = OmegaConf.select(config, "trainer.num_nodes", default=1)
    if not _whole(nodes) or nodes < 1:
        yield "trainer.num_nodes", nodes, "the number of machines must be a whole number from 1", "trainer.num_nodes=1"
    if math.prod(ranks_of(config)) == 1:
        return
    for key, neutral in (("trainer.on_oom", "error"), ("trainer.skip_nonfinite", 0)):
        value = OmegaConf.select(config, key, default=neutral)
        if value != neutral:
            yield key, value, "several ranks can't do that: they step together", f"{key}={neutral}"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require(wanted: int, started: int, said: str, how: str) -> None:
    if wanted != started:
        fix = f"{how}, or trainer.num_nodes and trainer.devices as they were started"
        raise ConfigError(f"{said}, and the config has {wanted}", where="trainer.devices, trainer.num_nodes", fix=fix)


def _first_host(environment: Mapping[str, str]) -> str:
    """The first machine of a list as Slurm writes it: `a`, `a,b`, `n[01-04,9],m3`, `r[1-2]n[1-8]`."""
    nodes = environment.get("SLURM_STEP_NODELIST") or environment["SLURM_JOB_NODELIST"]
    return re.sub(r"\[([^-,\]]*)[^\]]*\]", r"\1", re.split(r",(?![^\[]*\])", nodes)[0])


def _port(environment: Mapping[str, str]) -> int:
    """A port that all ranks of a step know, and others hardly use."""
    first, count = _PORTS
    return first + (int(environment["SLURM_JOB_ID"]) * 31 + int(environment.get("SLURM_STEP_ID", 0))) % count
