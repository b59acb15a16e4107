"""Average precision of boxes, 1,000 images x 30 detections x 80 classes: beside pycocotools, taken in turn; and the memory of each.

    python -m tests.benchmarks.average_precision [time memory large]

Both begin with what an evaluation has in hand, tensors of boxes, labels and scores for each image; pycocotools is given its
dicts of them, whose making is not counted in `time` (nor is the tensors'), and the truth as an index that is made already.
`memory`: the growth of the peak of a process of its own, from the data on, the libraries loaded. `large`: 100,000 images, ours alone.
"""

import re
import subprocess
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import torch

from segexp.metrics.detection import DetectionMetrics
from segexp.types import ClassInfo, DataSpec, Prediction, Targets
from tests.benchmarks.kernels import paired, row

CLASSES = 80
SPEC = DataSpec(tuple(ClassInfo(str(k), is_thing=True) for k in range(CLASSES)), frozenset({"boxes"}))


def scenes(images, detections=30, seed=0):
    """(prediction, truth) of each image: 7 objects in the mean, most of them found once or twice; the rest is wrong."""
    rng = np.random.default_rng(seed)
    for _ in range(images):
        count = int(rng.poisson(7))
        corner, sides = rng.uniform(0, 400, (count, 2)), rng.uniform(0.02, 1, (count, 2)) ** 2 * 240
        real, labels = np.concatenate([corner, corner + sides], 1), rng.integers(0, CLASSES, count)
        corner, sides = rng.uniform(0, 400, (detections, 2)), rng.uniform(0.02, 1, (detections, 2)) ** 2 * 240
        found, kinds = np.concatenate([corner, corner + sides], 1), rng.integers(0, CLASSES, detections)
        near = min(2 * count, detections - 5)
        if count:
            source = np.arange(near) % count
            found[:near], kinds[:near] = (
                real[source] + rng.normal(0, 0.06, (near, 4)) * np.tile(real[source, 2:] - real[source, :2], 2),
                labels[source],
            )
            found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        tensors = [torch.from_numpy(x.astype(np.float32)) for x in (found, rng.random(detections), real)]
        crowd = torch.from_numpy(rng.random(count) < 0.01)
        yield (
            Prediction(boxes=tensors[0], scores=tensors[1], labels=torch.from_numpy(kinds)),
            Targets(boxes=tensors[2], labels=torch.from_numpy(labels), crowd=crowd),
        )


def ours(data):
    """The figures: every image measured, then computed."""
    metric = DetectionMetrics(SPEC)
    metric.update([metric.measure(*one) for one in data])
    return {name: float(value) for name, value in metric.compute().items()}


def as_json(data):
    """The truth as pycocotools' index, and the list of results."""
    from pycocotools.coco import COCO

    objects, results = [], []
    for image, (guess, real) in enumerate(data):
        for box, label, crowd in zip(real.boxes.double().tolist(), real.labels.tolist(), real.crowd.tolist(), strict=True):
            size = [box[2] - box[0], box[3] - box[1]]
            entry = {"id": len(objects) + 1, "image_id": image, "category_id": label, "bbox": box[:2] + size, "iscrowd": int(crowd)}
            objects.append(entry | {"area": size[0] * size[1]})
        for box, label, score in zip(guess.boxes.double().tolist(), guess.labels.tolist(), guess.scores.tolist(), strict=True):
            size = [box[2] - box[0], box[3] - box[1]]
            results.append({"image_id": image, "category_id": label, "bbox": box[:2] + size, "score": score})
    truth = COCO()
    truth.dataset = {"images": [{"id": i} for i in range(len(data))], "annotations": objects, "info": {}}
    truth.dataset["categories"] = [{"id": k, "name": str(k)} for k in range(CLASSES)]
    with redirect_stdout(StringIO()):
        truth.createIndex()
    return truth, results


def official(truth, results):
    """pycocotools' twelve figures."""
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(StringIO()):
        evaluation = COCOeval(truth, truth.loadRes([dict(entry) for entry in results]), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def timed():
    data = list(scenes(1000))
    files = as_json(data)
    found, wanted = ours(data), official(*files)
    assert np.abs(np.array(list(found.values())[:12]) - wanted).max() < 1e-9, (found, wanted)
    times = paired(5, peer=lambda: official(*files), ours=lambda: ours(data))
    row("boxes of 1,000 images, 30 detections, 80 classes", times["peer"], times["ours"], ">= 2.5", f"map {wanted[0]:.4f} on both sides")


def peak(form):
    """MiB that the peak of this process grows by."""
    import pycocotools.cocoeval  # noqa: F401

    data = list(scenes(1000))
    ours(data[:2])
    official(*as_json(data[:2]))
    before = most()
    ours(data) if form == "ours" else official(*as_json(data))
    print(most() - before)


def most():
    """MiB that this process has held at most, without what it was before it was started."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def memory():
    command = [sys.executable, "-m", "tests.benchmarks.average_precision"]
    found = {
        form: float(subprocess.run([*command, f"peak={form}"], capture_output=True, text=True, check=True, timeout=300).stdout)
        for form in ("peer", "ours")
    }
    print(f"memory, the same: pycocotools {found['peer']:.0f} MiB, ours {found['ours']:.0f} MiB   goal: no more", flush=True)


def large():
    """Measured records of 100,000 images with 100 detections, 10 million in all."""
    metric = DetectionMetrics(SPEC)
    records = [metric.measure(*one) for one in scenes(500, detections=100)]
    for _ in range(200):
        metric.update(records)
    began = time.perf_counter()
    metric.compute()
    print(f"100,000 images x 100 detections: {time.perf_counter() - began:.1f} s to compute, {most() / 1024:.1f} GiB in all", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for part in sys.argv[1:] or ["time", "memory"]:
        kind, _, form = part.partition("=")
        {"time": timed, "memory": memory, "large": large}[kind]() if kind != "peak" else peak(form)
