"""segexp diff <run> <run>: what differs between two runs.

  segexp diff 1a2b3c 4d5e6f            ids, their first digits, or directories; finished or not
  segexp diff 1a2b3c 4d5e6f --json     all of it, for programs

Told are, side by side: the keys of the config that decide the result, then those that say only where and how fast; commit and
uncommitted changes of the code by file; the data's fingerprint and each file that isn't the same; versions, hardware, threads;
figures with their difference (second - first). Exit code 0 whatever differs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from segexp.cli.arguments import split
from segexp.cli.evaluate import named_run

USAGE = "segexp diff <run> <run> [--json]"


def run(arguments: Sequence[str]) -> int:
    """Print what differs."""
    named, overrides, flags = split(arguments, positional=2, flags=("--json",), usage=USAGE)
    from segexp.ledger.diff import as_dict, as_text, compared, names_of

    first, second = (Path(name) if Path(name).is_dir() else named_run(name, overrides).path for name in named)
    found = compared(first, second)
    print(json.dumps(as_dict(found), indent=1) if flags else as_text(found, (names_of(first), names_of(second))))
    return 0
