"""segexp report <run>: write a run's report.html again, one self-contained page.

segexp report 1a2b3c
"""

from __future__ import annotations

from collections.abc import Sequence

from segexp.cli.arguments import split
from segexp.cli.evaluate import named_run
from segexp.errors import ConfigError


def run(arguments: Sequence[str]) -> int:
    """Write the page and say where it is."""
    (name,), overrides, _ = split(arguments, positional=1, usage="segexp report <run>")
    other = [o for o in overrides if not o.startswith("paths")]
    if other:
        raise ConfigError(f"a report takes no override but paths: {other[0]}", where="segexp report <run>", fix="leave it out")
    from segexp.report.page import write_report

    print(write_report(named_run(name, overrides).path))
    return 0
