"""A sweep of runs that nobody trained: folders as training leaves them, with figures that are made up."""

import json
import math
import random
from pathlib import Path

from PIL import Image

CLASSES = 4
COMMON = {"name": "made", "monitor": "val/miou", "data._target_": "segexp.data.shapes.Shapes", "data.split": "val"}
COMMON |= {"metrics.semantic._target_": "segexp.metrics.semantic.SemanticMetrics", "metrics.semantic._partial_": True}
FILLER = {f"section{i // 10}.key{i % 10}": i for i in range(100)}  # a config has some 130 leaves
SPEC = {"provides": ["semantic"], "ignore_index": 255, "in_channels": 3}
SPEC |= {"classes": [{"name": f"class {i}", "is_thing": False, "color": [50 * i, 90, 200 - 50 * i]} for i in range(CLASSES)]}


def write(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def number(index):
    return f"{index:012x}"


def per_image(quality, images, seed):
    """Records and their mIoU, which is nearly `quality`: hard images are hard in all runs, and each run errs a little of its own."""
    difficulty, own = random.Random(0), random.Random(f"{quality} {seed}")
    share = 1000 * 2 * quality / (1 + quality)  # of 1000 pixels of a class, those that are right
    right = [round(min(max(share + difficulty.gauss(0, 80) + own.gauss(0, 8), 0), 1000)) for _ in range(images)]
    for i in range(images):  # what cutting has moved is given back
        right[i] = min(max(right[i] + round(share * images) - sum(right), 0), 1000)
    lines = []
    for i, count in enumerate(right):
        record = {"intersection": [count] * CLASSES, "predicted": [1000] * CLASSES, "labelled": [1000] * CLASSES}
        lines.append(json.dumps({"id": f"val/{i:06d}", "split": "val", "semantic": record}))
    return "\n".join(lines) + "\n", sum(right) / (2000 * images - sum(right))


def result(quality, keys, seed, points=10, more=()):
    steps = [10 * (i + 1) for i in range(points)]
    curves = {"val/miou": [[s, quality * (1 - math.exp(-3 * s / steps[-1]))] for s in steps]}
    curves |= {name: [[s, 2 * math.exp(-quality * s / steps[-1])] for s in steps] for name in ("val/loss", "train/loss", *more)}
    val = {"loss": 2 - quality, "miou": quality} | {f"iou/class {i}": quality + 0.01 * (i - 1.5) for i in range(CLASSES)}
    found = {"val": val, "monitor": "val/miou", "best": None, "parameters": 1_000_000 + 100_000 * len(str(keys))}
    found |= {"config": COMMON | FILLER | {"seed": seed} | keys, "curves": curves, "steps": 300, "seconds": 60 + 100 * quality}
    return found | {"speed": {"peak_memory_mib": 900 + 50 * quality, "peak_gpu_memory_mib": None}}


def run(experiment, index, keys, seed, quality, *, state="done", error=None, records=None, images=20, pictures=0, **shape):
    """One run directory; returns its path."""
    folder = Path(experiment) / f"made-s{seed}-{number(index)}"
    folder.mkdir(parents=True)
    typed = [f"{key}={value}" for key, value in keys.items()] + [f"seed={seed}"]
    (folder / "overrides.txt").write_text(f"segexp train {' '.join(typed)}\n")
    write(folder / "status.json", {"state": state, "attempt": 1, "step": 300, "error": error, "failures": int(error is not None)})
    if state == "done":
        if records is None:
            text, quality = per_image(quality, images, seed)
            (folder / "per_image.jsonl").write_text(text)
        else:
            (folder / "per_image.jsonl").hardlink_to(records)
        write(folder / "result.json", result(quality, keys, seed, **shape))
        write(folder / "manifest.json", {"id": number(index), "seed": seed, "data": "0f0f", "spec": SPEC})
        (folder / "config.yaml").write_text("name: made\n")
    else:
        (folder / "log.txt").write_text("starting\nloading data\nthe last thing it said\n")
    for i in range(pictures):
        (folder / "images").mkdir(exist_ok=True)
        Image.new("RGB", (400, 100), (int(255 * quality), 40 * i, 90)).save(folder / "images" / f"val__{i:06d}.png")
    return folder


def sweep(experiment, runs):
    """The folder of a sweep over these runs, of which each is (path, overrides, state)."""
    folder = Path(experiment) / "sweeps" / "backbone-optimizer.lr-abcdef012345"
    folder.mkdir(parents=True)
    rows = [
        {"overrides": overrides, "run": path.name[-12:], "path": f"../../{path.name}", "state": state, "cause": None, "error": None}
        | {"log": None, "same_as": None}
        for path, overrides, state in runs
    ]
    write(folder / "sweep.json", {"command": "segexp train -m backbone=small,large", "again": False, "unfinished": False, "jobs": rows})
    return folder


def typed(keys, seed):
    return [*(f"{key}={value}" for key, value in keys.items()), f"seed={seed}"]


def small_sweep(experiment):
    """Two backbones and two rates with two seeds each, the large backbone better; one run failed, one was pruned."""
    rows, index = [], 0
    for backbone, base in (("small", 0.4), ("large", 0.6)):
        for lr in (0.01, 0.1):
            for seed in (0, 1):
                index += 1
                keys = {"backbone": backbone, "optimizer.lr": lr}
                path = run(experiment, index, keys, seed, base + lr / 10 + seed / 500, images=100, pictures=2)
                rows.append((path, typed(keys, seed), "done"))
    error = {"code": "oom", "what": "out of memory at batch 8", "where": "step 12", "fix": "lower data.loader.batch_size"}
    for backbone, state, told in (("huge", "failed", error), ("vast", "failed", error), ("odd", "pruned", None)):
        index += 1
        keys = {"backbone": backbone, "optimizer.lr": 0.01}
        rows.append((run(experiment, index, keys, 0, 0.0, state=state, error=told), typed(keys, 0), state))
    return sweep(experiment, rows)
