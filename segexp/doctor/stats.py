"""Figures of a data set: sizes, classes, weights, colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segexp.doctor.scan import Scan
from segexp.types import DataSpec

SIZES = 8  # most frequent ones that are listed


def figures(scans: Sequence[Scan], data: DataSpec) -> dict[str, Any]:
    """The figures of each split that was read, as plain containers.

    Args:
        scans: of the splits.
        data: the classes.

    Returns:
        {split: {"images", "unreadable", "labelled", "sizes", "classes", "void_share", "mean", "std", "weights"}}; samples
        that can't be read don't count. What has no labels lacks the parts that come from them.
    """
    return {scan.name: split_figures(scan.rows, data) for scan in scans}


def split_figures(rows: np.ndarray, data: DataSpec) -> dict[str, Any]:
    """The figures of one split from its rows of facts."""
    read = rows[rows["read"]]
    found: dict[str, Any] = {"images": len(rows), "unreadable": len(rows) - len(read), "sizes": sizes(read["size"])}
    if len(read):
        mean, std = colors(read)
        found |= {"mean": mean.round(4).tolist(), "std": std.round(4).tolist()}
    labelled = read[read["labelled"]]
    found["labelled"] = len(labelled)
    if len(labelled):
        pixels, void = labelled["pixels"], int(labelled["void"].sum())
        total = pixels.sum(0)
        found["classes"] = {
            name: {"pixels": int(total[i]), "share": float(total[i] / max(1, total.sum())), "images": int((pixels[:, i] > 0).sum())}
            for i, name in enumerate(data.names)
        }
        found["void_share"] = void / max(1, void + int(total.sum()))
        found["weights"] = {
            "median_frequency": median_frequency(labelled["pixels"], labelled["size"]).round(4).tolist(),
            "inverse_log": inverse_log(total).round(4).tolist(),
        }
    return found


def sizes(found: np.ndarray) -> list[dict[str, int]]:
    """The most frequent (height, width), with how many images have each."""
    values, counts = np.unique(found, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SIZES]
    return [{"height": int(values[i, 0]), "width": int(values[i, 1]), "images": int(counts[i])} for i in order]


def colors(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel over all pixels, of values in [0, 1]."""
    area = rows["size"].astype(np.int64).prod(1).sum()
    first, second = rows["sums"].sum(0) / area
    return first, np.sqrt(np.maximum(0.0, second - first**2))


def median_frequency(pixels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Weights that give rare classes more: median of the frequencies / frequency (Eigen and Fergus, 2015).

    A class's frequency is its share of all pixels, void among them, of the images that hold it. A class without a pixel gets 1.

    Args:
        pixels: of each class in each image, int [N,K].
        sizes: (height, width) of each image, int [N,2].

    Returns:
        float [K].
    """
    areas = sizes.astype(np.int64).prod(1)
    total, around = pixels.sum(0), ((pixels > 0) * areas[:, None]).sum(0)
    seen = total > 0
    frequency = total[seen] / around[seen]
    weights = np.ones(pixels.shape[1])
    weights[seen] = np.median(frequency) / frequency if seen.any() else 1.0
    return weights


def inverse_log(total: np.ndarray) -> np.ndarray:
    """Weights 1 / ln(1.02 + share of the labelled pixels), between 1.4 and 50 (Paszke et al., 2016). A class without a pixel gets 1.

    Args:
        total: pixels of each class, int [K].
    """
    weights = 1 / np.log(1.02 + total / max(1, total.sum()))
    return np.where(total > 0, weights, 1.0)


def table(found: dict[str, Any], data: DataSpec) -> list[str]:
    """The figures as lines for the screen."""
    lines = []
    for name, part in found.items():
        shapes = ", ".join(f"{size['width']}x{size['height']} ({size['images']})" for size in part["sizes"])
        broken = f", {part['unreadable']} unreadable" if part["unreadable"] else ""
        lines.append(f"{name}: {part['images']} images{broken}; width x height (images): {shapes}")
        if "mean" in part:
            mean, std = (" ".join(f"{value:.4f}" for value in part[key]) for key in ("mean", "std"))
            lines.append(f"  channels in [0, 1]: mean {mean}, standard deviation {std}")
        if "void_share" in part:
            lines.append(f"  void: {part['void_share']:.2%} of the pixels")
    counted = {name: part["classes"] for name, part in found.items() if "classes" in part}
    if counted:
        lines += ["", *_class_table(counted, data), ""]
    source = found.get("train", {}).get("weights") or next((part["weights"] for part in found.values() if "weights" in part), None)
    for kind, weights in (source or {}).items():
        lines.append(f"{kind.replace('_', ' ')} weights: 'loss.class_weights=[{','.join(f'{w:.4g}' for w in weights)}]'")
    return lines


def _class_table(counted: dict[str, Any], data: DataSpec) -> list[str]:
    """A row per class: its share of the labelled pixels and the images that hold it, in each split."""
    rows = [["id", "class", *(text for name in counted for text in (f"{name} pixels", "share", "images"))]]
    for i, name in enumerate(data.names):
        row = [str(i), name]
        for classes in counted.values():
            figures = classes[name]
            row += [f"{figures['pixels']:,}", f"{figures['share']:.3%}", str(figures["images"])]
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(w) if i == 1 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))) for row in rows
    ]
