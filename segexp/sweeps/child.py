"""The process of one job: `segexp.sweeps.child <pid of the parent>`, its document on stdin.

A document is `{"config": YAML, "overrides": [...], "threads": n, "env": {...}, "allow": [...]}`: the config as it was
composed, so that nothing that is edited between two jobs changes the second. That of a trial that may be pruned has
`"search"` as well (see `segexp.search.study.reporter`): it is no part of the config, which says what the run is.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segexp.allow import allow
from segexp.errors import StoppedError, failed
from segexp.functional.signals import die_with_parent


def main() -> int:
    """Become the process of the job on stdin; returns its exit code."""
    follow(int(sys.argv[1]))
    return run(json.load(sys.stdin))


def follow(parent: int) -> None:
    """End when the parent does: with SIGTERM, after which a run saves its state; at once if it is gone already."""
    die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(StoppedError.exit_code)


def redirect(output: Path) -> None:
    """Nothing on stdin; stdout and stderr appended to a file."""
    log = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(nothing)


def run(document: Mapping[str, Any]) -> int:
    """Make the run of a document so.

    Returns:
        The exit code; what went wrong is on stderr. `sys.exit` within the run passes.
    """
    os.environ.update(document.get("env", {}))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # a log is read while it grows
    from omegaconf import OmegaConf

    config = OmegaConf.create(document["config"])
    OmegaConf.set_struct(config, True)
    config.run.threads = document["threads"]  # outside the run's identity, and the same however this process was started
    allow(*document.get("allow", ()))
    show = bool(OmegaConf.select(config, "errors.traceback"))
    try:
        from segexp.ranks.follow import followed
        from segexp.runs.execute import execute

        if followed(config):
            return 0
        execute(config, document["overrides"], document.get("search"))
    except (Exception, KeyboardInterrupt) as error:
        return failed(error, show_traceback=show)
    return 0


if __name__ == "__main__":
    sys.exit(main())
