"""A look at the samples of a data set: chosen evenly, with their labels painted, on a contact sheet and a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segexp.doctor.examine import KINDS
from segexp.doctor.sheet import sheet, unpainted
from segexp.errors import known
from segexp.functional.files import write_atomic
from segexp.targets import derive
from segexp.types import DataSpec, Targets
from segexp.visualize.paint import paint
from segexp.visualize.visible import visible

WIDTH = 480  # of a picture on the page; the sheet scales it down
QUALITY = 88


@dataclass(frozen=True)
class Shown:
    """A sample, ready to be looked at.

    Args:
        id: of the sample.
        note: its size, or why it can't be shown.
        picture: without labels, None where it can't be read.
        painted: with labels; None where it has none.
        classes: ids of those that it shows.
    """

    id: str
    note: str
    picture: Image.Image | None = None
    painted: Image.Image | None = None
    classes: tuple[int, ...] = ()


def browse(dataset: Any, chosen: Mapping[str, Sequence[int]], folder: Path, title: str) -> list[Path]:
    """Write a sheet for each split, and a page with all.

    Args:
        dataset: with `spec` and `open`.
        chosen: split -> indices of its samples.
        folder: where `<split>.png` and `index.html` are put.
        title: of the page.

    Returns:
        The files that were written, the page first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written, sections = [folder / "index.html"], []
    for name, indices in chosen.items():
        split = dataset.open(name)
        tiles = [show(split, index, dataset.spec) for index in indices]
        present = sorted({i for tile in tiles for i in tile.classes})
        legend = [(dataset.spec.names[i], dataset.spec.classes[i].color) for i in present]
        heading = f"{title}, {name}: {len(tiles)} of {len(split)} samples"
        written.append(folder / f"{name}.png")
        picture = sheet(heading, tiles, legend)
        write_atomic(written[-1], lambda file, picture=picture: picture.save(file, "PNG"))
        plain = [_plain(tile) for tile in tiles]
        sections.append({"name": name, "heading": heading, "tiles": plain, "legend": legend, "dark": unpainted(legend)})
    write_atomic(written[0], _page(title, sections))
    return written


def evenly(candidates: Sequence[int] | np.ndarray, count: int) -> list[int]:
    """At most `count` of the candidates, spread evenly, the first and the last among them."""
    places = np.linspace(0, len(candidates) - 1, min(count, len(candidates))).round().astype(int)
    return [int(candidates[place]) for place in places]


def show(split: Any, index: int, data: DataSpec) -> Shown:
    """One sample as pictures; one that can't be read as a note."""
    try:
        sample = split[index]
        image = visible(sample["image"].as_subclass(Tensor))
        kinds = [kind for kind in KINDS if kind in sample]
        truth = derive(sample, {kinds[0]}, data) if kinds else None
        painted = paint(image, truth, data) if truth else None
    except Exception as error:  # a broken sample is what one browses for
        return Shown(split.id(index), known(error).what)
    note = f"{image.shape[2]} x {image.shape[1]}"
    return Shown(split.id(index), note, _fitted(image), None if painted is None else _fitted(painted), _present(truth, data))


def _present(truth: Targets | None, data: DataSpec) -> tuple[int, ...]:
    if truth is None:
        return ()
    ids = next(x for x in (truth.semantic, truth.segment_labels, truth.labels, truth.label) if x is not None)
    return tuple(i for i in torch.unique(ids).long().tolist() if i < data.num_classes and i != data.ignore_index)


def _fitted(image: Tensor) -> Image.Image:
    """At most `WIDTH` wide; small ones enlarged by a whole factor, so that their pixels stay sharp."""
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    factor = WIDTH // max(picture.size)
    if factor > 1:
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    picture.thumbnail((WIDTH, 2 * WIDTH), Image.Resampling.LANCZOS)
    return picture


def _plain(tile: Shown) -> dict[str, Any]:
    """A tile for the page's template."""
    pictures = {name: _packed(picture) for name, picture in (("picture", tile.picture), ("painted", tile.painted))}
    return {"id": tile.id, "note": tile.note, **pictures}


def _packed(picture: Image.Image | None) -> str:
    if picture is None:
        return ""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, subsampling=0)  # full chroma: class colours stay crisp
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _page(title: str, sections: list[dict[str, Any]]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("browse.html.j2").render(title=title, sections=sections)
