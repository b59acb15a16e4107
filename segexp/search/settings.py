"""The section `sweep` of a config: what is searched for, how, and for how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segexp.catalogue import did_you_mean, suggest
from segexp.errors import ConfigError, require_number

SAMPLERS = ("grid", "random", "tpe", "nsga2")
PRUNERS = ("none", "asha", "median")
DIRECTIONS = ("minimize", "maximize")
COSTS = ("loss", "parameters", "seconds", "steps", "macs", "memory", "bytes", "_ms")  # how names of what is to be small end


@dataclass(frozen=True)
class Settings:
    """The section `sweep` (`conf/sweep/grid.yaml` has its keys), its metrics and directions filled in."""

    sampler: str
    trials: int
    startup: int
    seed: int
    metrics: tuple[str, ...]
    directions: tuple[str, ...]
    pruner: str
    rung: int
    factor: int
    storage: str | None
    warm: str | tuple[str, ...] | None

    @property
    def pruning(self) -> dict[str, Any] | None:
        """What a run is told of its pruner; None where there is none."""
        own = {"pruner": self.pruner, "rung": self.rung, "factor": self.factor, "startup": self.startup}
        return None if self.pruner == "none" else own

    def plain(self) -> dict[str, Any]:
        """What the draws depend on; a search of more trials, or kept elsewhere, is the same search."""
        return {key: value for key, value in vars(self).items() if key not in ("trials", "storage")}


def settings(section: Mapping[str, Any], monitor: str | None) -> Settings:
    """The section of a config, checked.

    Args:
        section: resolved.
        monitor: the config's.

    Raises:
        ConfigError: a value makes no sense, or two don't go together.
    """
    for key, allowed in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        if section[key] not in allowed:
            near = suggest(str(section[key]), allowed)
            raise ConfigError(f"there is no such {key}", where=f"sweep.{key}={section[key]}", fix=_fix(f"sweep.{key}", near, allowed))
    for key, least in (("trials", 1), ("startup", 1), ("seed", 0), ("rung", 1), ("factor", 2)):
        require_number(f"sweep.{key}", section[key], f"sweep.{key}={max(least, 2)}", least=least, whole=True)
    metrics = _metrics(section["metric"], monitor)
    if len(metrics) > 1 and section["pruner"] != "none":
        fix = "sweep.pruner=none, or one metric"
        raise ConfigError("runs with several objectives can't be pruned", where=f"sweep.pruner={section['pruner']}", fix=fix)
    warm = section["warm"]
    if not (warm is None or isinstance(warm, str) or (isinstance(warm, list) and all(isinstance(line, str) for line in warm))):
        fix = "sweep.warm=['optimizer.lr=0.01 seed=1'], or another sweep's folder"
        raise ConfigError("what is tried first must be lines of overrides, or a folder", where=f"sweep.warm={warm}", fix=fix)
    return Settings(
        **{key: section[key] for key in ("sampler", "trials", "startup", "seed", "pruner", "rung", "factor", "storage")},
        metrics=metrics,
        directions=_directions(section["direction"], metrics),
        warm=tuple(warm) if isinstance(warm, list) else warm,
    )


def _fix(key: str, near: Sequence[str], allowed: Sequence[str]) -> str:
    return did_you_mean([f"{key}={name}" for name in near]) if near else f"{key}={'|'.join(allowed)}"


def _metrics(metric: Any, monitor: str | None) -> tuple[str, ...]:
    found: list[Any] = metric if isinstance(metric, list) else [metric or monitor]
    if not found or not all(isinstance(name, str) and name for name in found):
        raise ConfigError("nothing says what is searched for", where=f"sweep.metric={metric}", fix="sweep.metric=val/miou")
    return tuple(found)


def _directions(direction: Any, metrics: Sequence[str]) -> tuple[str, ...]:
    given: list[Any] = direction if isinstance(direction, list) else [direction] * len(metrics)
    if len(given) != len(metrics) or any(way not in (None, *DIRECTIONS) for way in given):
        fix = f"sweep.direction={'|'.join(DIRECTIONS)}" if len(metrics) == 1 else "a list, one for each of sweep.metric"
        raise ConfigError(f"{len(metrics)} directions are wanted, minimize or maximize", where=f"sweep.direction={direction}", fix=fix)
    return tuple(way or ("minimize" if name.endswith(COSTS) else "maximize") for way, name in zip(given, metrics, strict=True))


def value_of(result: Mapping[str, Any], metric: str) -> Any:
    """A figure of a `result.json`: `val/miou`, `parameters`, `speed.train_images_per_s`.

    Raises:
        KeyError: it has no such figure.
    """
    split, slash, name = metric.partition("/")
    if slash and isinstance(result.get(split), Mapping):
        return result[split][name]
    found: Any = result
    for part in metric.split("."):
        if not isinstance(found, Mapping):
            raise KeyError(metric)
        found = found[part]
    return found
