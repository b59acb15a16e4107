"""On which line of a YAML file a key stands, and each entry of its defaults list."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Lines:
    """The lines of one file, counted from 1.

    Args:
        keys: by dotted path, sections included; a list is one key.
        defaults: (group, option, overrides, line) of each entry; the group as from the root of the config tree, with its
            `@package` where it has one, empty for an entry that is a path; overrides: does it start with `override`?
    """

    keys: dict[str, int]
    defaults: tuple[tuple[str, str, bool, int], ...]

    def of(self, key: str) -> int:
        """The line of a key, or of the section around it that the file names last; 1 where there is none."""
        while key and key not in self.keys:
            key = key.rpartition(".")[0]
        return self.keys.get(key, 1)


@functools.lru_cache(maxsize=1024)
def _read(path: Path, folder: str, stamp: tuple[int, int]) -> Lines:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=loader)
    keys: dict[str, int] = {}
    _collect(root, "", keys)
    entries = next((value.value for name, value in _members(root) if name.value == "defaults" and isinstance(value.value, list)), [])
    return Lines({key: line for key, line in keys.items() if key != "defaults"}, tuple(_entry(entry, folder) for entry in entries))


def lines(path: Path, config_path: str) -> Lines:
    """The lines of a file.

    Args:
        path: of the file.
        config_path: its place in the config tree, such as `model/fcn`: entries of its defaults list are relative to that.
    """
    found = path.stat()
    return _read(path, config_path.rpartition("/")[0], (found.st_mtime_ns, found.st_size))


def _members(node: Any) -> list[tuple[Any, Any]]:
    """(Key node, value node) of a mapping."""
    return [pair for pair in node.value if isinstance(pair, tuple)] if node is not None and isinstance(node.value, list) else []


def _collect(node: Any, prefix: str, keys: dict[str, int]) -> None:
    for name, value in _members(node):
        if name.tag == "tag:yaml.org,2002:merge":  # `<<: *anchor`: what the anchor holds, unless the file says it itself
            merged = value.value if value.id == "sequence" else [value]
            for one in merged:
                _collect(one, prefix, keys)
            continue
        keys[f"{prefix}{name.value}"] = name.start_mark.line + 1
        _collect(value, f"{prefix}{name.value}.", keys)


def _entry(node: Any, folder: str) -> tuple[str, str, bool, int]:
    line = node.start_mark.line + 1
    if not _members(node):
        return "", _rooted(str(node.value), folder), False, line
    name, value = _members(node)[0]
    *words, group = str(name.value).split()
    option = ",".join(item.value for item in value.value) if isinstance(value.value, list) else str(value.value)
    return _rooted(group, folder), option, "override" in words, line


def _rooted(name: str, folder: str) -> str:
    return name[1:] if name.startswith("/") else f"{folder}/{name}".lstrip("/")
