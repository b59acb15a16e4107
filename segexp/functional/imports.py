"""Keep a library from importing what it only offers to use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without(name: str) -> Iterator[None]:
    """Within, `import name` fails as if it weren't installed; one that is imported already stays."""
    modules: dict[str, Any] = sys.modules
    if name in modules:
        yield
        return
    modules[name] = None  # Python's own mark for what must not be imported
    try:
        yield
    finally:
        del modules[name]
