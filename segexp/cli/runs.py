"""segexp runs [folder] [options]: the ledger of runs, one row each, the newest first.

  segexp runs                              all runs of paths.outputs
  segexp runs outputs/camvid               of one experiment; a sweep's folder works, too
  segexp runs --state=failed,killed        only those; also interrupted: it says "running", and its process is gone
  segexp runs --sort=val/miou --last=20    the best twenty by a figure; -val/miou is the other way round
  segexp runs --json                       all that is known of each, figures included; --csv: the same as a table of numbers

Columns: id, name and run (the folder is <name>/<run>-<id>), state, progress (steps done/planned), value (the best of the monitored
figure), when (its state changed last), duration, host, attempts, and of what it failed. A file that can't be read is told in
its row. Nothing is changed, and no run is kept from starting.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from segexp.cli.arguments import split, valued
from segexp.errors import ConfigError

USAGE = "segexp runs [folder] [--state=<states>] [--sort=<column or figure>] [--last=<n>] [--json|--csv]"


def run(arguments: Sequence[str]) -> int:
    """Print the ledger."""
    options, rest = valued(arguments, ("--state", "--sort", "--last"))
    plain = [a for a in rest if not a.startswith("-") and "=" not in a]
    named, overrides, flags = split(rest, positional=min(1, len(plain)), flags=("--json", "--csv"), usage=USAGE)
    last = _count(options.get("--last"))
    from segexp.ledger.rows import rows
    from segexp.ledger.table import as_csv, as_json, as_table, chosen

    folder = Path(named[0]) if named else _outputs(overrides)
    states, sort = [s for s in options.get("--state", "").split(",") if s], options.get("--sort", "when")
    found = list(rows(folder))
    shown = chosen(found, states=states, sort=sort, last=last)
    if "--json" in flags:
        print(as_json(shown))
    elif "--csv" in flags:
        print(as_csv(shown))
    elif found:
        print(as_table(shown, sort))
        print(f"\n{len(shown)} of {len(found)} runs in {folder}")
    else:
        print(f"no runs in {folder}")
    return 0


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError("how many rows? a whole number from 1", where=f"--last={text}", fix="--last=20")
    return int(text)


def _outputs(overrides: Sequence[str]) -> Path:
    from segexp.config import outputs_dir

    return outputs_dir(overrides)
