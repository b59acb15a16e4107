"""Names of classes, as a config or a file of the data set lists them."""

from __future__ import annotations

from typing import Any

from segexp.errors import ConfigError


def distinct(names: Any) -> tuple[str, ...] | None:
    """The names of a list as text; None where it is no list, is empty, or has a name twice, a blank one or one that isn't plain."""
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, (str, int, float)) for name in names):
        return None
    found = tuple(str(name) for name in names)
    return found if found and all(name.strip() for name in found) and len(set(found)) == len(found) else None


def given_classes(classes: Any) -> tuple[str, ...] | None:
    """The classes that a config lists, or None where they are to be found.

    Raises:
        ConfigError: not a list of different names.
    """
    if classes is None:
        return None
    names = distinct(classes)
    if names is None:
        raise ConfigError("a list of different names is wanted", where=f"data.classes={classes}", fix="data.classes=[cat,dog], or null")
    return names
