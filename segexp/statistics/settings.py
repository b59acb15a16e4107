"""Which runs are one setting, tried with several seeds, and what tells the settings apart."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from segexp.runs.identity import Rules, canonical, shipped_rules
from segexp.statistics.board import Entry
from segexp.statistics.records import FinishedRun


def settings(runs: Sequence[FinishedRun], figure: str) -> list[Entry]:
    """Runs that differ in the seed alone as one entry each, in the order of the runs; a run that is there twice counts once.

    Args:
        runs: finished ones that have the figure.
        figure: such as `val/miou`.
    """
    rules = shipped_rules()
    decided: dict[str, bool] = {}
    counted = [_counted(run.config, rules, decided) for run in runs]
    varied = _varied(counted)
    groups: dict[tuple, dict[int, FinishedRun]] = {}
    for run, leaves in zip(runs, counted, strict=True):
        groups.setdefault(tuple(leaves.get(key) for key in varied), {}).setdefault(run.seed, run)
    found = [[group[seed] for seed in sorted(group)] for group in groups.values()]
    typed = [_typed(group[0], rules) for group in found]
    labels = _labels(found, typed, varied)
    return [_entry(*parts, varied, figure) for parts in zip(found, typed, labels, strict=True)]


def _entry(runs: Sequence[FinishedRun], words: tuple[str, ...], label: str, varied: Sequence[str], figure: str) -> Entry:
    values = [run.value(figure) for run in runs]
    mean, first = math.fsum(values) / len(values), runs[0]
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)) if len(values) > 1 else None
    seconds = [run.result["seconds"] for run in runs if run.result.get("seconds") is not None]
    return Entry(
        label=label,
        overrides=words,
        settings={key: first.config.get(key) for key in varied},
        runs=tuple(run.path for run in runs),
        seeds=tuple(run.seed for run in runs),
        values=tuple(values),
        mean=mean,
        sd=sd,
        parameters=first.result.get("parameters"),
        seconds=math.fsum(seconds) / len(seconds) if seconds else None,
    )


def _counted(leaves: Mapping[str, Any], rules: Rules, decided: dict[str, bool]) -> dict[str, str | float]:
    """The leaves that decide a result, without the seed; values that can be compared and hashed.

    `decided` keeps which keys count, over all runs: they have the same ones.
    """
    counted = {}
    for key, leaf in leaves.items():
        if key not in decided:
            decided[key] = key != "seed" and not _drops(key, rules)
        if decided[key] and leaf is not None and not _neutral(key, leaf, rules):
            counted[key] = _plain(leaf)
    return counted


def _plain(leaf: Any) -> str | float:
    return leaf if isinstance(leaf, (str, int, float)) else json.dumps(leaf, sort_keys=True)


def _drops(key: str, rules: Rules) -> bool:
    parts = key.split(".")
    return any(".".join(parts[:depth]) in rules.drop for depth in range(1, len(parts) + 1))


def _neutral(key: str, leaf: Any, rules: Rules) -> bool:
    return key in rules.neutral and canonical(leaf) == canonical(rules.neutral[key])


def _varied(counted: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The keys in which not all agree, sorted."""
    base = counted[0].items() if counted else ()
    return tuple(sorted({key for leaves in counted for key, _ in leaves.items() ^ base}))


# ------------------------------------------------------------------------------------------------ labels


def _typed(run: FinishedRun, rules: Rules) -> tuple[str, ...]:
    """The overrides of a run that decide its result, without the seed."""
    keys = [(word, word.lstrip("+~").partition("=")[0]) for word in run.overrides]
    return tuple(word for word, key in keys if key != "seed" and not _drops(key, rules))


def _labels(groups: Sequence[Sequence[FinishedRun]], typed: Sequence[tuple[str, ...]], varied: Sequence[str]) -> list[str]:
    """What was typed for a setting and not for all; where that doesn't tell settings apart, the keys in which they differ."""
    times = Counter(word for words in typed for word in set(words))
    short = [" ".join(word for word in words if times[word] < len(typed)) or " ".join(words) or "as shipped" for words in typed]
    if len(set(short)) == len(short):
        return short
    by_key = [" ".join(f"{key}={_shown(group[0].config.get(key))}" for key in varied) for group in groups]
    return by_key if len(set(by_key)) == len(by_key) else [group[0].path.name for group in groups]


def _shown(leaf: Any) -> str:
    return "null" if leaf is None else str(leaf)
