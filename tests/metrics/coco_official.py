"""Random scenes, and what pycocotools says of them."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from segexp.types import Prediction, Targets

NAMES = ["map", "map50", "map75", "map_small", "map_medium", "map_large", "mar1", "mar10", "mar100", "mar_small", "mar_medium", "mar_large"]


class Side(NamedTuple):
    """Detections or objects of one image; `flags` are scores or crowds."""

    boxes: np.ndarray  # float32 [N,4] xyxy
    labels: np.ndarray
    flags: np.ndarray
    masks: np.ndarray | None = None


def prediction(side):
    masks = None if side.masks is None else torch.from_numpy(side.masks)
    parts = [torch.from_numpy(x) for x in (side.boxes, side.labels, side.flags)]
    return Prediction(boxes=parts[0], labels=parts[1], scores=parts[2], masks=masks)


def targets(side):
    masks = None if side.masks is None else torch.from_numpy(side.masks)
    boxes, labels, crowd = (torch.from_numpy(x) for x in (side.boxes, side.labels, side.flags))
    return Targets(boxes=boxes, labels=labels, crowd=crowd, masks=masks)


def records(part, scenes):
    return [part.measure(prediction(guess), targets(real)) for guess, real in scenes]


def figures(part, scenes):
    part.update(records(part, scenes))
    return {name: float(value) for name, value in part.compute().items()}


def official(scenes, kind, classes=3, overlaps=None):
    """pycocotools' twelve figures and AP by class, NaN where it says -1.

    `kind` is `bbox` or `segm`; with `overlaps`, (detections, objects) of one image and class -> IoUs, these in place of its own.
    """
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    class Evaluation(COCOeval):
        def computeIoU(self, imgId, catId):  # the library's names
            real, guess = self._gts[imgId, catId], self._dts[imgId, catId]
            if overlaps is None or not (real and guess):
                return super().computeIoU(imgId, catId)
            return overlaps([guess[i] for i in np.argsort([-d["score"] for d in guess], kind="mergesort")][: self.params.maxDets[-1]], real)

    sets, annotations = [coco.COCO(), coco.COCO()], [[], []]
    for number, (guess, real) in enumerate(scenes):
        for which, side in enumerate((real, guess)):
            for place in range(len(side.labels)):
                annotations[which].append(annotation(side, place, kind, number, len(annotations[which]) + 1, score=bool(which)))
    sizes = [(1, 1) if real.masks is None else real.masks.shape[1:] for _, real in scenes]
    images = [{"id": i, "height": h, "width": w} for i, (h, w) in enumerate(sizes)]
    for data, entries in zip(sets, annotations, strict=True):
        data.dataset = {"images": images, "annotations": entries, "categories": [{"id": k, "name": str(k)} for k in range(classes)]}
        data.createIndex()
    evaluation = Evaluation(*sets, kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    by_class = [evaluation.eval["precision"][:, :, k, 0, 2] for k in range(classes)]
    values = [*evaluation.stats, *(x[x > -1].mean() if (x > -1).any() else -1 for x in by_class)]
    return [float("nan") if value == -1 else float(value) for value in values]


def annotation(side, place, kind, image, number, *, score):
    """One detection or object as COCO's JSON has it."""
    x1, y1, x2, y2 = side.boxes[place].astype(float)
    found = {"id": number, "image_id": image, "category_id": int(side.labels[place]), "bbox": [x1, y1, x2 - x1, y2 - y1]}
    found["area"] = (x2 - x1) * (y2 - y1)
    if side.masks is not None:
        from pycocotools import mask as coding

        found["segmentation"] = coding.encode(np.asfortranarray(side.masks[place].astype(np.uint8)))
        if kind == "segm" or not score:
            found["area"] = int(side.masks[place].sum())
    flag = side.flags[place]
    return found | ({"score": float(flag)} if score else {"iscrowd": int(flag)})


def rectangles(rng, count, size):
    """Masks of rectangles, most with a few holes, some of them empty, some of 32^2 pixels: bool [count,*size]."""
    masks = np.zeros((count, *size), dtype=bool)
    for mask in masks:
        (y1, y2), (x1, x2) = (sorted(rng.integers(0, n + 1, size=2)) for n in size)
        mask[y1:y2, x1:x2] = rng.random((y2 - y1, x2 - x1)) < rng.choice([0.95, 1])
        if rng.random() < 0.1:
            mask[:], mask[1:33, 2:34] = False, True
    return masks


def mask_scene(rng, size, detections=None):
    """Truth with crowds, or none; detections: true masks that are shifted, of right and wrong class, or others; few different scores."""
    count, many = int(rng.integers(0, 7)), int(rng.integers(0, 12)) if detections is None else detections
    truth, labels, crowd = rectangles(rng, count, size), rng.integers(0, 3, size=count), rng.random(count) < 0.2
    masks, kinds = rectangles(rng, many, size), rng.integers(0, 3, size=many)
    for i in range(many if count else 0):
        if rng.random() < 0.8:
            source = rng.integers(0, count)
            masks[i] = np.roll(truth[source], rng.integers(-2, 3, size=2), (0, 1))
            kinds[i] = labels[source]
    scores = (rng.integers(0, 8, size=many) / 8).astype(np.float32)
    return tuple(Side(np.zeros((len(k), 4), np.float32), k, flags, m) for k, flags, m in ((kinds, scores, masks), (labels, crowd, truth)))


def truth_twice(rng, size, images=10):
    """Scenes whose prediction is their truth, without crowds."""
    scenes = []
    for _ in range(images):
        _, real = mask_scene(rng, size)
        there = real.masks.any((1, 2))
        real = Side(real.boxes[there], real.labels[there], np.zeros(there.sum(), bool), real.masks[there])
        scenes.append((real._replace(flags=np.ones(len(real.labels), np.float32)), real))
    return scenes
