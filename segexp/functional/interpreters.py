"""Other interpreters on this machine: how one is started, and how many cores there are for them."""

from __future__ import annotations

import json
import os
import sys

_BOOT = """
import json, runpy, sys
sys.path[:] = json.loads(sys.argv.pop(1))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def interpreter(module: str, *arguments: str) -> list[str]:
    """The command of an interpreter that runs a module, and finds modules where this process does."""
    return [sys.executable, "-P", "-c", _BOOT, json.dumps(sys.path), module, *arguments]  # -P: not in the working directory before


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
