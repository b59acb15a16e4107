"""What is odd about the pixels of a label file: interpolated edges, a palette that tells another story."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from segexp.doctor.findings import Finding
from segexp.types import DataSpec

# Share of the edge pixels that lie strictly between their two neighbours. Measured: at most 0.02 in one file of CamVid, VOC,
# Cityscapes' ids and nuclei; at least 0.23 after a bilinear resize.
RAMPS = 0.15
FEW = 20  # pixels that are too few to tell
VALUES = 2  # ... and values: one class may always lie as a thin line between two others


def raw_values(path: Path) -> np.ndarray:
    """What a label file stores, as [H,W] or, of colours, [H,W,bands]; palette files give their indices."""
    with Image.open(path) as image:
        return np.asarray(image).astype(np.int32)


def interpolated(raw: np.ndarray) -> str:
    """How far the edges look interpolated, in words; empty where they don't.

    A pixel of a resized or antialiased edge has a value between those of its two neighbours, in some row or column.

    Args:
        raw: values [H,W], or colours [H,W,bands].
    """
    ramps = edges = 0
    middles: set[int] = set()
    for band in np.atleast_3d(raw).transpose(2, 0, 1):
        for lines in (band, band.T):
            before, here, after = lines[:, :-2], lines[:, 1:-1], lines[:, 2:]
            between = ((before < here) & (here < after)) | ((before > here) & (here > after))
            ramps += int(between.sum())
            edges += int((before != after).sum())
            middles.update(np.unique(here[between])[:VALUES].tolist())
    if ramps < FEW or len(middles) < VALUES or ramps < RAMPS * edges:
        return ""
    return f"{ramps / edges:.0%} of the pixels at edges have a value between those of their neighbours"


def palette(path: Path, raw: np.ndarray, semantic: np.ndarray, data: DataSpec) -> Finding | None:
    """Whether the palette of a label file shows a value in the colour of another class than the one that it is read as.

    A palette that has nothing to do with the classes' colours says nothing, and is let pass; so are greys, which coincide easily.

    Args:
        path: the label file.
        raw: its values [H,W].
        semantic: the class ids [H,W] that they were read as.
        data: the classes.
    """
    with Image.open(path) as image:
        flat = image.getpalette() if image.mode == "P" else None
    if flat is None or raw.shape != semantic.shape:
        return None
    colors = np.asarray(flat).reshape(-1, 3)
    class_of = {info.color: i for i, info in enumerate(data.classes) if len(set(info.color)) > 1}
    own = {info.color: sum(other.color == info.color for other in data.classes) == 1 for info in data.classes}
    wrong = []
    together = np.bincount((raw * 256 + semantic).ravel()).nonzero()[0]  # of 8-bit values: cheaper than a sort
    for value, read_as in zip(*(part.tolist() for part in divmod(together, 256)), strict=True):
        color = tuple(colors[value].tolist()) if value < len(colors) else ()
        shown = class_of.get(color)
        if shown is not None and own[color] and read_as < data.num_classes and shown != read_as:
            wrong.append(f"{value} is read as {data.names[read_as]} and has the colour of {data.names[shown]}")
    return Finding("palette", f"the palette and the classes differ: {'; '.join(wrong[:4])}", (str(path),)) if wrong else None
