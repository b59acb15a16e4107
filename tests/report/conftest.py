"""A run directory as training leaves it, small enough to work out every figure by hand."""

import json

import pytest
from PIL import Image

CLASSES = [
    {"name": "road", "is_thing": False, "color": [128, 64, 128]},
    {"name": "car", "is_thing": True, "color": [0, 0, 142]},
    {"name": "dog", "is_thing": True, "color": [10, 20, 30]},
]
CONFIG = """\
name: trial
seed: 7
monitor: val/miou
paths: {data: "${oc.env:SECRET_PLACE}"}
data: {root: "${paths.data}/camvid", split: val}
optimizer: {lr: 0.01, betas: [0.9, 0.999]}
twice: ${optimizer.lr}
"""


def semantic(intersection, predicted, labelled):
    return {"intersection": intersection, "predicted": predicted, "labelled": labelled}


def write_lines(path, records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records))


@pytest.fixture
def run(tmp_path):
    """A finished run: two images, three classes of which one is absent."""
    folder = tmp_path / "outputs" / "trial" / "unet-1a2b3c"
    (folder / "images").mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "overrides.txt").write_text("segexp train model=unet seed=7\n")
    manifest = {"id": "1a2b3c", "started": "2026-01-02T03:04:05+00:00", "versions": {"torch": "2.6"}, "spec": {"classes": CLASSES}}
    manifest |= {"git": {"commit": "0123456789abcdef", "patch": "", "patch_cut": False}, "data": "0f0f"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "status.json").write_text(json.dumps({"state": "done", "attempt": 2, "step": 1200, "error": None}))
    logged = [{"step": s, "epoch": 0, "name": "train/loss", "value": 2.0 - s / 10} for s in range(10)]
    logged += [{"step": 9, "epoch": 0, "name": "val/miou", "value": 0.4}, {"step": 9, "epoch": 0, "name": "val/iou/dog", "value": None}]
    write_lines(folder / "metrics.jsonl", logged)
    val = {"miou": 0.55, "pixel_acc": 0.8, "loss": 1.25, "loss/ce": 1.25, "iou/road": 0.75, "iou/car": 0.35, "iou/dog": None}
    result = {"val": val, "test": {"miou": 0.5, "iou/road": 0.5, "iou/car": 0.5, "iou/dog": None}}
    result |= {"best": {"step": 800, "value": 0.5512}, "seconds": 4384.2, "parameters": 12_345_678}
    (folder / "result.json").write_text(json.dumps(result))
    records = [
        {"id": "a/good", "split": "val", "semantic": semantic([60, 30, 0], [60, 30, 10], [70, 30, 0])},
        {"id": "a/bad", "split": "val", "semantic": semantic([10, 0, 0], [90, 10, 0], [20, 80, 0])},
        {"id": "a/bad", "split": "test", "semantic": semantic([1, 0, 0], [1, 0, 0], [1, 0, 0])},
    ]
    write_lines(folder / "per_image.jsonl", records)
    for name in ("a__good", "a__bad"):
        Image.new("RGB", (40, 20), (200, 10, 10)).save(folder / "images" / f"{name}.png")
    return folder
