"""Instances as Cityscapes' evaluation reads them: a text file for each image that lists a mask, a label id and a score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from segexp.errors import DataError
from segexp.functional.files import write_atomic
from segexp.functional.names import flat, safe
from segexp.types import DataSpec


def write_instances(folder: Path, id: str, spec: DataSpec, masks: Tensor, labels: Tensor, scores: Tensor) -> Path:
    """Write one image: `<name>.txt` with lines `mask.png label-id score`, and the masks as PNG of 0 and 255 beside it.

    Only things are written, in the order of their scores, the best first; objects may overlap.

    Args:
        folder: made where it isn't there.
        id: of the sample; its split is left out. Cityscapes finds a file by `city_sequence_frame`.
        spec: the classes; its `values` are the label ids.
        masks: bool [N,H,W].
        labels: int [N].
        scores: float [N].

    Returns:
        The text file.

    Raises:
        DataError: a class that isn't there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name, values = flat(id), spec.values or tuple(range(spec.num_classes))
    lines = []
    for place in scores.argsort(descending=True, stable=True).tolist():
        class_id = int(labels[place])
        if not 0 <= class_id < spec.num_classes:
            what = f"image {name}, object {place}: there is no class {class_id}; there are {spec.num_classes}"
            raise DataError(what, where=str(folder), fix="predict with the data set's classes")
        if not spec.classes[class_id].is_thing:
            continue
        png = f"{name}_{len(lines):04d}_{safe(spec.names[class_id])}.png"  # the script parts the line at spaces
        Image.fromarray(masks[place].cpu().numpy().astype(np.uint8) * 255).save(folder / png)
        lines.append(f"{png} {values[class_id]} {float(scores[place]):.6f}\n")
    path = folder / f"{name}.txt"
    write_atomic(path, "".join(lines))  # an image without objects has an empty file
    return path
