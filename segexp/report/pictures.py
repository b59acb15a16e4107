"""The panels of a run as pictures inside the page, the worst image first."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segexp.report.figures import figure, image_miou
from segexp.report.record import RunRecord

if TYPE_CHECKING:
    from PIL import Image

MAX_PANELS = 12
MAX_WIDTH = 1600  # pixels; four columns of it are as wide as most screens
MAX_BYTES = 220_000  # of one picture, so that eight make a page of less than 3 MB


@dataclass(frozen=True)
class Picture:
    """One panel; `source` is a data URI."""

    name: str
    caption: str
    source: str
    width: int
    height: int


def pictures(record: RunRecord, limit: int = MAX_PANELS) -> list[Picture]:
    """The first `limit` panels: by ascending mIoU of the image where `per_image.jsonl` knows it, then by name."""
    by_file = {identifier.replace("/", "__"): image for identifier, image in record.per_image.items()}
    scored = [(path, image_miou(by_file.get(path.stem, {}))) for path in record.images]
    scored.sort(key=lambda pair: (pair[1] is None, pair[1] or 0.0, pair[0].name))
    found = []
    for path, score in scored[:limit]:
        packed = _pack(path)
        if packed is not None:
            image = by_file.get(path.stem, {})
            parts = (str(image.get("split", "")), "" if score is None else f"mIoU {figure(score)}")
            found.append(Picture(str(image.get("id", path.stem)), " · ".join(filter(None, parts)), *packed))
    return found


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
