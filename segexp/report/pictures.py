"""The panels of a run as pictures inside the page, the worst image first."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segexp.functional.quality import image_quality
from segexp.report.figures import figure
from segexp.report.record import RunRecord, section

if TYPE_CHECKING:
    from PIL import Image

MAX_PANELS = 12
MAX_WIDTH = 1600  # pixels; four columns of it are as wide as most screens
MAX_BYTES = 220_000  # of one picture, so that twelve make a page of less than 4 MB
KINDS = (  # of `images/index.json`, with what the page says of them
    ("worst", "Worst pictures", "of {split}, by the {score} of the single picture"),
    ("best", "Best pictures", "of {split}"),
    ("first", "First pictures", "of {split}, in the order of the data set"),
)
Score = tuple[str, float] | None  # of a single picture, and how it is called
Scored = tuple[Path, dict[str, Any], Score]  # the file, its record


@dataclass(frozen=True)
class Picture:
    """One panel; `source` is a data URI."""

    name: str
    caption: str
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class Gallery:
    """Pictures under one heading."""

    title: str
    note: str
    pictures: tuple[Picture, ...]


def galleries(record: RunRecord, limit: int = MAX_PANELS) -> list[Gallery]:
    """The worst, the best and the first pictures of one evaluation; without `images/index.json` all in one, the worst first."""
    scored = _scored(record)
    if not record.shown:
        ranked = any(score is not None for _, _, score in scored)
        return _filled("Pictures", f"{min(limit, len(scored))} of {len(scored)}" + ", worst first" * ranked, scored[:limit])
    split = "val" if "val" in record.shown else next(iter(record.shown))
    groups, done, found = section(record.shown[split]), set(), []
    called = next((score[0] for _, _, score in scored if score is not None), "quality")
    by_name = {path.name: (path, image, score) for path, image, score in scored}
    for kind, title, note in KINDS:
        names = [name for name in groups.get(kind, ()) if name in by_name and name not in done]
        done |= set(names)
        found += _filled(title, note.format(split=split, score=called), [by_name[name] for name in names])
    return found


def _scored(record: RunRecord) -> list[Scored]:
    """The panels, by ascending score of the image where `per_image.jsonl` knows it, then by name."""
    by_file = {identifier.replace("/", "__"): image for identifier, image in record.per_image.items()}
    scored = [(path, by_file.get(path.stem, {}), image_quality(by_file.get(path.stem, {}))) for path in record.images]
    return sorted(scored, key=lambda known: (known[2] is None, known[2][1] if known[2] else 0.0, known[0].name))


def _filled(title: str, note: str, scored: Sequence[Scored]) -> list[Gallery]:
    """A gallery of the files that can be read; none where there is none."""
    found = []
    for path, image, score in scored:
        if (packed := _pack(path)) is not None:
            parts = (str(image.get("split", "")), "" if score is None else f"{score[0]} {figure(score[1])}")
            found.append(Picture(str(image.get("id", path.stem)), " · ".join(filter(None, parts)), *packed))
    return [Gallery(title, note, tuple(found))] if found else []


def _pack(path: Path) -> tuple[str, int, int] | None:
    """A picture as (data URI, width, height): the file itself where it is small, else a JPEG of it; None where it is broken."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return None
    data, kind = path.read_bytes(), "png"
    if len(data) > MAX_BYTES:
        picture.thumbnail((MAX_WIDTH, MAX_WIDTH), Image.Resampling.LANCZOS)
        data, kind = _jpeg(picture), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}", picture.width, picture.height


def _jpeg(picture: Image.Image) -> bytes:
    for quality in (90, 82, 72, 60):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)  # full chroma: class colours stay crisp
        if buffer.tell() <= MAX_BYTES:
            break
    return buffer.getvalue()
