"""What says that a sample is still the one that was read before: its files' names, sizes and times; and the set's own keys."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from segexp.doctor.hashes import digest

READERS = (  # a change of what is kept of a sample makes all of it void
    *("doctor/examine.py", "doctor/hashes.py", "doctor/headers.py", "doctor/labels.py"),
    *("data/panoptic_faults.py", "data/cityscapes_faults.py", "data/coco_json.py", "data/coco_splits.py"),
    *("data/objects.py", "data/coco_objects.py", "data/rle.py", "data/voc_xml.py", "data/voc_objects.py", "data/yolo.py"),
)
DEEPEST = 6  # levels of objects within a data set that are looked into


def signature(dataset: Any) -> str:
    """16 hex digits of what a data set is: its class, its source, its plain attributes, and the version of this program.

    Two objects that were made from the same keys have the same one. Where its files lie counts, what they hold doesn't.
    """
    try:
        source = inspect.getsource(type(dataset))
    except (OSError, TypeError):  # made in a console
        source = ""
    package = Path(__file__).parents[1]
    ours = b"".join((package / name).read_bytes() for name in READERS)
    text = f"{metadata.version('segexp')} {source} {_plain(dataset, DEEPEST)}"
    return hashlib.blake2b(ours + text.encode(), digest_size=8).hexdigest()


def _plain(value: Any, depth: int) -> str:
    """Text that is the same for equal values in every process."""
    if value is None or isinstance(value, (str, bytes, bool, int, float, Path)):
        return repr(value)
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {value.shape} {digest(value.tobytes())}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_plain(item, depth - 1)}" for key, item in value.items()) + "}"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(_plain(item, depth - 1) for item in value)) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_plain(item, depth - 1) for item in value) + "]"
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    fields = None if isinstance(value, type) else getattr(value, "__dict__", None)
    return f"{kind} {_plain(fields, depth - 1)}" if fields and depth > 0 else kind


class Stamps:
    """A number for each sample of a split that changes when its files do.

    A split may also have `related(index)`, other files that count, and `content(index)`, what a list of it says of the sample.

    Args:
        dataset: of whose fingerprint the samples depend that have no files; without one they can't be told apart.
        split: what its `open` returned.
        name: of the split.
    """

    def __init__(self, dataset: Any, split: Any, name: str) -> None:
        self.split, self.name = split, name
        self.files = hasattr(split, "paths")
        self.content = "" if self.files or not hasattr(dataset, "fingerprint") else dataset.fingerprint()

    def __call__(self, index: int) -> int:
        """The stamp of a sample; 0 where nothing is known."""
        if not self.files:
            return digest(f"{self.content} {self.name} {index}".encode()) if self.content else 0
        try:
            own = self.split.id(index).removeprefix(f"{self.name}/")  # several samples may share a file, several splits a sample
            also = self.split.related(index) if hasattr(self.split, "related") else ()
            content = digest(self.split.content(index)) if hasattr(self.split, "content") else ""
            return digest(" ".join([own, *map(_state, (*self.split.paths(index), *also)), str(content)]).encode())
        except Exception:  # a line that can't be read: the sample says so when it is
            return 0


def _state(path: Path | None) -> str:
    if path is None:
        return "none"
    try:
        stat = path.stat()
    except OSError as error:
        return f"{path}|{type(error).__name__}"
    return f"{path}|{stat.st_size}|{stat.st_mtime_ns}"
