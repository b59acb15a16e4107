"""Reading `result.json` of very many runs: without its curves, which are nine tenths of the file."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

CURVES = '\n "curves": {'  # as `write_json` leaves it


def read_result(path: Path) -> Any:
    """The content of a `result.json`, its curves left empty where they are written as we write them; they aren't even parsed.

    The texts of configs, which are the same in most runs of a folder, are in memory once.

    Raises:
        OSError: it can't be read.
        ValueError: it isn't JSON.
    """
    found = _parsed(path.read_text(encoding="utf-8", errors="replace"))
    if isinstance(found, dict) and isinstance(config := found.get("config"), dict):
        found["config"] = {_once(key): _once(value) for key, value in config.items()}
    return found


def _parsed(text: str) -> Any:
    start = text.find(CURVES)
    end = text.find("\n }", start)
    if start >= 0 and end >= 0:
        with suppress(ValueError):  # written by something else: the whole is the truth
            return json.loads(text[: start + len(CURVES)] + text[end:])
    return json.loads(text)


def _once(value: Any) -> Any:
    return sys.intern(value) if isinstance(value, str) else value
