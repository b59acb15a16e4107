"""A data set whose files all lie below its folder: a list, a name or a link in it can't bring in what lies elsewhere."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from segexp.errors import DataError
from segexp.secrets import leaves

LISTS = (".txt", ".csv", ".tsv", ".json", ".yaml", ".yml", ".xml", ".lst")  # files that say what belongs to a split
FIX = "copy it into the folder, or data.allow_outside=true if you trust the data set"


def fenced(dataset: Any, section: Mapping[str, Any]) -> Any:
    """The data set, each split of which is looked at when it is opened, unless it has no folder or may leave it.

    The object stays of its own class: what it is cached by, and who asks for its class, see no difference.

    Args:
        dataset: has `open(split)`, and perhaps `undivided()`.
        section: `data` of the config; a folder or file that it names itself is no way out, `allow_outside` is the way.

    Raises:
        DataError: from then on of `open` and `undivided`: names the first file that lies elsewhere.
    """
    if section.get("root") and not section.get("allow_outside"):
        fences = Fences(section)
        for name in ("open", "undivided"):
            if hasattr(dataset, name):
                setattr(dataset, name, functools.partial(_looked_at, name, getattr(dataset, name), fences))
    return dataset


def _looked_at(name: str, opening: Callable[..., Any], fences: Fences, *arguments: Any) -> Any:
    fences.check_lists()
    opened = opening(*arguments)
    if (name, *arguments) not in fences.fine:  # a split is opened more than once
        fences.check(_files(opened))
        fences.fine.add((name, *arguments))
    return opened


class Fences:
    """The folders in which files may lie, and what is known of others.

    Args:
        section: of the config: `root`, and what else it names elsewhere: absolute, or from `root` with `..`. Any other text is no
            place that a link in the data set could open by having its name.
    """

    def __init__(self, section: Mapping[str, Any]) -> None:
        root = section.get("root")
        self.root = Path(str(root)) if root else None
        texts = [value.partition("{")[0] for _, value in leaves(dict(section)) if isinstance(value, str)]  # of `images/{split}`
        named = [self.root / text for text in texts if text.startswith("/") or ".." in text.split("/")] if self.root else []
        self.allowed = tuple(dict.fromkeys(os.path.realpath(path) for path in [*([self.root] if self.root else []), *_there(named)]))
        self.fine: set[tuple[Any, ...]] = set()  # what was opened and found in order
        self._folders: dict[str, tuple[bool, frozenset[str]]] = {}
        self._lists_are_fine = False

    def check(self, files: Iterable[Path]) -> None:
        """Refuse a file that lies elsewhere, itself or by a link."""
        for path in files if self.root else ():
            folder, name = os.path.split(path)
            inside, links = self._folder(folder)
            if not inside or (name in links and not self._inside(str(path))):
                raise _outside(path, self.root)

    def check_lists(self) -> None:
        """Refuse folders below the root, and files that say what belongs to a split, that are links to elsewhere."""
        if self._lists_are_fine or self.root is None or not self.root.is_dir():
            return
        for place, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in (*folders, *(name for name in files if name.lower().endswith(LISTS))):
                path = os.path.join(place, name)  # noqa: PTH118 - of each of perhaps a million files
                if os.path.islink(path) and not self._inside(path):  # noqa: PTH114
                    raise _outside(Path(path), self.root)
        self._lists_are_fine = True

    def _folder(self, folder: str) -> tuple[bool, frozenset[str]]:
        """(Does a folder lie inside?, the names of the links in it), looked up once."""
        if folder not in self._folders:
            self._folders[folder] = (self._inside(folder), _links(folder))
        return self._folders[folder]

    def _inside(self, path: str) -> bool:
        real = os.path.realpath(path)
        return any(real == place or real.startswith(place.rstrip("/") + "/") for place in self.allowed)


def _there(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        try:
            if path.exists():
                yield path
        except (OSError, ValueError):  # a text that can't be a path
            continue


def _links(folder: str) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_symlink())
    except OSError:  # missing: told by whoever reads its files
        return frozenset()


def _files(opened: Any) -> Iterator[Path]:
    """Pictures, label files and what else belongs to the samples of a split; none of one that isn't made of files."""
    if not hasattr(opened, "paths"):
        return
    related = getattr(opened, "related", None)
    for index in range(len(opened)):
        yield from (Path(path) for path in opened.paths(index) if path is not None)
        if related:
            yield from (Path(path) for path in related(index) if path is not None)


def _outside(path: Path, root: Path | None) -> DataError:
    real = os.path.realpath(path)
    lies = f"lies at {real}, outside of the data set's folder"
    return DataError(f"{path.name} {lies}", where=f"{path} (data.root={root})", fix=FIX)
