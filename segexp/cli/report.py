"""segexp report <folder>: one self-contained HTML page, for a run, a sweep, or all runs of a folder.

  segexp report 1a2b3c                                   a run: a directory, its id, or the first digits of it
  segexp report outputs/default/sweeps/backbone-4d07a6   a sweep: the folder that its command prints, or its id
  segexp report outputs/camvid                           all runs of an experiment; `segexp report camvid` does the same
  segexp report outputs/camvid --figure=test/miou        compared by another figure than the monitored one

The page of a run is <run>/report.html; every run writes its own at its end. That of a sweep or a folder answers first which
setting is better and whether that is sure; then come the leaderboard, curves, pictures side by side, what mattered, what it
costs, and what failed. The table is written beside it as leaderboard.csv, leaderboard.md and leaderboard.tex.
It opens without a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segexp.cli.arguments import split, valued
from segexp.cli.evaluate import named_run
from segexp.errors import ConfigError

USAGE = "segexp report <run, sweep or folder of runs> [--figure=<split>/<name>]"


def run(arguments: Sequence[str]) -> int:
    """Write the page and say where it is."""
    options, rest = valued(arguments, ["--figure"])
    (name,), overrides, _ = split(rest, positional=1, usage=USAGE)
    other = [o for o in overrides if not o.startswith("paths")]
    if other:
        raise ConfigError(f"a report takes no override but paths: {other[0]}", where="segexp report <run>", fix="leave it out")
    folder, figure = _folder(name, overrides), options.get("--figure")
    if folder is None:
        if figure is not None:
            raise ConfigError("a run's page shows all of its figures", where=f"--figure={figure}", fix="leave it out")
        from segexp.report.page import write_report

        print(write_report(named_run(name, overrides).path))
        return 0
    from segexp.report.sweep import write_sweep_report

    page = write_sweep_report(folder, figure=figure)
    print(f"{page} ({page.stat().st_size / 1e6:.1f} MB)")
    return 0


def _folder(name: str, overrides: Sequence[str]) -> Path | None:
    """The folder of a sweep or of runs that a user named; None where it is to be one run."""
    from segexp.config import outputs_dir

    if Path(name).is_dir():
        return None if (Path(name) / "config.yaml").is_file() else Path(name)
    outputs = outputs_dir(overrides)
    if (outputs / name).is_dir() and not (outputs / name / "config.yaml").is_file():
        return outputs / name
    sweeps = [path.parent for path in outputs.glob("*/sweeps/*/sweep.json")]
    found = [path for path in sweeps if path.name == name or (len(name) >= 4 and path.name.rpartition("-")[2].startswith(name))]
    if len(found) > 1:
        raise ConfigError(f"{len(found)} sweeps are called {name}", where=", ".join(map(str, found[:4])), fix="give the folder")
    return found[0] if found else None
