"""What `segexp predict` reads, but for videos: image files, or a split of the run's data set; and how what is written is called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.errors import ConfigError, DataError
from segexp.functional.names import PICTURES

if TYPE_CHECKING:
    from torch import Tensor


class Files:
    """Image files at a path, folders searched to any depth.

    Args:
        source: a file or a folder.
        usage: shown where there is none.

    Raises:
        ConfigError: there is no picture.
    """

    def __init__(self, source: Path, usage: str) -> None:
        self.paths = found(source, usage)
        whole = ["__".join(p.relative_to(source).parts) if source.is_dir() else p.name for p in self.paths]
        plain = Counter(Path(name).stem for name in whole)
        stems = [Path(name).stem if plain[Path(name).stem] == 1 else name.replace(".", "_") for name in whole]
        self.names, self.short = stems, _where_unique([p.stem for p in self.paths], stems)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.paths)

    def pictures(self, channels: int) -> Iterator[tuple[str, str, Tensor | DataError]]:
        """Of each picture its name, its short name, and itself or why it can't be read."""
        return _read(self, channels)

    def image(self, index: int, channels: int) -> Tensor:
        """One picture: uint8 or int32 [C,H,W]."""
        from segexp.functional.images import read_image

        return read_image(self.paths[index], channels=channels)


class Split:
    """The pictures of a split, whether it has labels or not.

    Args:
        opened: what a data set's `open` returns.
        limit: only so many.
    """

    def __init__(self, opened: Any, limit: int | None = None) -> None:
        self.opened = opened
        ids = [opened.id(i) for i in range(len(opened))][:limit]
        inner = ["__".join(i.split("/")[1:]) or i for i in ids]  # without the split's name
        self.names = self.short = _where_unique([i.rpartition("/")[2] for i in ids], inner)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.names)

    def image_ids(self) -> dict[str, Any]:
        """Name -> image id in the data set's own JSON, where it has one."""
        return self.opened.image_ids() if hasattr(self.opened, "image_ids") else {}

    def pictures(self, channels: int) -> Iterator[tuple[str, str, Tensor | DataError]]:
        """Of each picture its name, its short name, and itself or why it can't be read."""
        return _read(self, channels)

    def image(self, index: int, channels: int) -> Tensor:
        """One picture: uint8 or int32 [C,H,W], as the data set reads it."""
        from torch import Tensor

        return self.opened[index]["image"].as_subclass(Tensor)


def _read(chosen: Files | Split, channels: int) -> Iterator[tuple[str, str, Tensor | DataError]]:
    for index, (name, short) in enumerate(zip(chosen.names, chosen.short, strict=True)):
        try:
            yield name, short, chosen.image(index, channels)
        except DataError as error:
            yield name, short, error


def natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """A key that puts `frame_10` after `frame_9`."""
    parts = [part for part in re.split(r"(\d+)", str(path)) if part]
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], str(path)


def found(source: Path, usage: str) -> list[Path]:
    """The image files at a path.

    Raises:
        ConfigError: there is none.
    """
    if source.is_dir():
        listed = sorted((p for p in source.rglob("*") if p.suffix.lower() in PICTURES and p.is_file()), key=natural)
        if not listed:
            raise ConfigError("the folder holds no picture", where=str(source), fix=f"pictures end in {' '.join(sorted(PICTURES))}")
        return listed
    if not source.is_file():
        raise ConfigError("there is no such file or folder", where=str(source), fix=usage)
    if source.suffix.lower() not in PICTURES:
        raise ConfigError(
            f"{source.suffix or 'a file without ending'} is no picture", where=str(source), fix=f"one of {' '.join(sorted(PICTURES))}"
        )
    return [source]


def _where_unique(short: Sequence[str], long: Sequence[str]) -> list[str]:
    """The short names, and the long ones instead of those that several share."""
    times = Counter(short)
    return [s if times[s] == 1 else whole for s, whole in zip(short, long, strict=True)]
