"""A benchmark: a named list of runs, each with each of some seeds, that one command makes so and puts into one table.

`conf/benchmark/<name>.yaml` says it in lines of overrides. A run of a benchmark is the run that its overrides typed alone would
be, in the same folder: nothing of the benchmark is part of its config.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segexp.catalogue import SEARCHPATH, did_you_mean, suggest
from segexp.config import compose, resolve, session
from segexp.errors import ConfigError

GROUP = "benchmark"
KEYS = ("about", "figure", "seeds", "common", "runs")
# one override of a line: blanks in quotes and brackets are part of it
WORD = re.compile(r"""(?:[^\s'"\[{(]|'[^']*'|"[^"]*"|\[[^\]]*\]|\{[^}]*\}|\([^)]*\))+""")


@dataclass(frozen=True)
class Benchmark:
    """What a file of the group says.

    Args:
        name: of the file.
        runs: lines of overrides, each as a tuple; each may sweep.
        seeds: each run is made with each of them.
        common: overrides of all runs.
        figure: what the table compares, such as `val/miou`; None: what the runs monitor.
        about: the question that it answers, for readers.
    """

    name: str
    runs: tuple[tuple[str, ...], ...]
    seeds: tuple[int, ...]
    common: tuple[str, ...] = ()
    figure: str | None = None
    about: str | None = None


def chosen(overrides: Sequence[str]) -> str | None:
    """The benchmark that overrides choose, as typed; None if none."""
    named = [text.partition("=")[2] for text in overrides if _key(text) == GROUP and "=" in text]
    return named[-1] if named and named[-1] != "none" else None


def read(primary: str, overrides: Sequence[str]) -> Benchmark:
    """The benchmark that is chosen; `benchmark.seeds=[0]` and the like among the overrides change it.

    Raises:
        ConfigError: there is none of this name, or its file says something else than runs and seeds.
    """
    name = chosen(overrides) or ""
    if not re.fullmatch(r"[\w.-]+", name):
        raise ConfigError("one benchmark at a time", where=f"{GROUP}={name}", fix="give one name: segexp list benchmark")
    own = [text for text in overrides if _key(text).partition(".")[0] == GROUP or text.lstrip("+").startswith(SEARCHPATH)]
    section = resolve(compose(primary, own)).get(GROUP) or {}
    return _checked(name, section)


def _checked(name: str, section: dict[str, Any]) -> Benchmark:
    where = f"{GROUP}={name}"
    if wrong := [key for key in section if key not in KEYS]:
        near = suggest(wrong[0], KEYS)
        raise ConfigError(
            f"a benchmark has no key {wrong[0]}", where=where, fix=did_you_mean(near) if near else f"it has {', '.join(KEYS)}"
        )
    seeds, lines = section.get("seeds", [0]), section.get("runs")
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise ConfigError("a benchmark needs whole numbers from 0 on as seeds", where=f"{where}: seeds: {seeds}", fix="seeds: [0, 1, 2]")
    if not isinstance(lines, list) or not lines:
        raise ConfigError("a benchmark needs lines of overrides", where=f"{where}: runs: {lines}", fix="runs: [model=fcn, model=unet]")
    runs = tuple(_words(line, f"{where}: runs") for line in lines)
    return Benchmark(
        name, runs, tuple(dict.fromkeys(seeds)), _words(section.get("common") or [], f"{where}: common"), section.get("figure")
    )


def _words(line: Any, where: str) -> tuple[str, ...]:
    """The overrides of a line, or of a list of them."""
    words: list[Any] = WORD.findall(line) if isinstance(line, str) else line if isinstance(line, list) else [line]
    for text in words:
        if not isinstance(text, str) or not ("=" in text or text.startswith("~")):
            raise ConfigError(f"{text!r} is no override", where=where, fix="model=unet backbone=resnet18,resnet34")
        if _key(text).partition(".")[0] in (GROUP, "sweep"):
            raise ConfigError(f"a run of a benchmark can't have {text}", where=where, fix="leave it out")
    return tuple(words)


def runs(primary: str, overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each job: those of all runs, of the run, what was typed, and the seed.

    What was typed counts: a key that is typed is taken out of the benchmark's lines, `seed=5` replaces its seeds, and a sweep
    that is typed multiplies its runs.

    Raises:
        ConfigError: as of `read`, or a line can't be read.
    """
    from segexp.sweeps.grid import product

    wanted = read(primary, overrides)
    typed = [text for text in overrides if _key(text).partition(".")[0] != GROUP]
    keys = {_key(text) for text in typed}
    seeds = [] if "seed" in keys else [f"seed={','.join(map(str, wanted.seeds))}"]
    found = []
    for run in wanted.runs:
        given = [text for text in (*wanted.common, *run) if _key(text) not in keys]
        found += product(primary, [*given, *typed, *seeds])
    return found


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


# ------------------------------------------------------------------------------------------------ the end


def benchmark(overrides: Sequence[str]) -> int:
    """Make all runs of a benchmark so, as a sweep, and end with its table: also when some of them aren't done.

    Raises:
        SegexpError: as of `segexp.sweeps.driver.sweep`.
    """
    from segexp.sweeps.driver import sweep

    if search := [text for text in overrides if _key(text) == "sweep" and text.partition("=")[2] != "grid"]:
        raise ConfigError("a benchmark's runs are all made, a search draws some", where=search[0], fix=f"leave out {search[0]}")
    with session():
        wanted = read("train", overrides)
    return sweep(overrides, figure=wanted.figure, table=True)
