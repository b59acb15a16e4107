"""The same pictures of several runs, small enough to stand side by side in one page."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

MAX_RUNS = 12
MAX_PICTURES = 6
MAX_WIDTH = 1000  # pixels of a panel of four columns
MAX_BYTES = 6_000_000  # of all, before base64 makes a third more of them
Pictures = dict[str, dict[int, str]]  # name -> place of the run -> data URI


def common_pictures(runs: Sequence[Path], split: str = "val", limit: int = MAX_PICTURES, budget: int = MAX_BYTES) -> Pictures:
    """The pictures that all of these runs have, else those that most of them have.

    Args:
        runs: run directories; only the first `MAX_RUNS` are looked at.
        split: whose pictures come first.
        limit: how many pictures of each run.
        budget: bytes of all together; what goes beyond is left out.
    """
    runs = runs[:MAX_RUNS]
    found: Pictures = {}
    for name in _shared(runs, split)[:limit]:
        packed = {place: data for place, run in enumerate(runs) if (data := _small(run / "images" / name)) is not None}
        budget -= sum(map(len, packed.values()))
        if budget < 0:
            break
        found[name] = {place: f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" for place, data in packed.items()}
    return found


def _shared(runs: Sequence[Path], split: str) -> list[str]:
    """Names by how many runs have them, then those of the split; in the order of the data set's first, then by name."""
    counts = Counter(path.name for run in runs for path in (run / "images").glob("*.png"))
    first = {name: place for run in reversed(runs) for place, name in enumerate(_first(run))}
    need = min(2, len(runs))
    shared = (name for name in counts if counts[name] >= need)
    return sorted(shared, key=lambda n: (-counts[n], not n.startswith(f"{split}__"), first.get(n, len(first)), n))


def _first(run: Path) -> list[str]:
    """The names of `images/index.json`, those of the data set's first pictures."""
    with suppress(OSError, ValueError, AttributeError):
        splits = json.loads((run / "images" / "index.json").read_text())
        return [name for split in splits.values() for name in split.get("first", ())]
    return []


def _small(path: Path) -> bytes | None:
    """A JPEG of at most `MAX_WIDTH`; None of a file that is absent or broken."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return None
    picture.thumbnail((MAX_WIDTH, MAX_WIDTH), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80, optimize=True)
    return buffer.getvalue()
