"""Nuclei: a plain loop with the same backbone and weights, stopped after so many seconds, and the PQ of what it has learned.

    python -m tests.benchmarks.nuclei <folder that holds nuclei/ and weights/> [seconds]

The loop is what one writes in an afternoon: a U-Net of segmentation-models-pytorch on EfficientNet-Lite0, cross-entropy of nucleus and
background, connected parts as nuclei. It is measured by this project's PQ, as `segexp train experiment=nuclei_panoptic` is.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy import ndimage
from torch.nn import functional as F

from segexp.data.nuclei import Nuclei
from segexp.metrics.panoptic import PanopticMetrics
from segexp.targets import derive
from segexp.types import Prediction

CROP, BATCH, RATE, LEAST = 256, 4, 1e-3, 10  # pixels, pictures, learning rate, pixels of a nucleus
DIVISOR = 32


def read(root, split):
    """(image [3,H,W] in 0..1, nuclei bool [H,W]) of each picture."""
    found = []
    for entry in json.loads((root / "annotations" / f"panoptic_{split}.json").read_text())["images"]:
        image = np.asarray(Image.open(root / "images" / split / entry["file_name"]).convert("RGB"), np.float32) / 255
        labels = Image.open((root / "labels" / split / entry["file_name"]).with_suffix(".png"))
        found.append((torch.from_numpy(image.transpose(2, 0, 1).copy()), torch.from_numpy(np.asarray(labels) > 0)))
    return found


def network(weights):
    net = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None, classes=2)
    state = {name: value.float() if value.is_floating_point() else value for name, value in load_file(weights).items()}
    missing = net.encoder.model.load_state_dict(state, strict=False)
    assert not missing.missing_keys, missing.missing_keys[:3]
    return net.to(memory_format=torch.channels_last)


def sample(image, mask, rng):
    """A random crop, turned and mirrored, brightness and contrast changed."""
    short = [max(0, CROP - side) for side in mask.shape]
    image = F.pad(image, (0, short[1], 0, short[0]), mode="reflect") if any(short) else image
    mask = F.pad(mask[None].float(), (0, short[1], 0, short[0]), mode="reflect")[0] > 0 if any(short) else mask
    y, x = (int(rng.integers(0, side - CROP + 1)) for side in mask.shape)
    image, mask = image[:, y : y + CROP, x : x + CROP], mask[y : y + CROP, x : x + CROP]
    turns = int(rng.integers(4))
    image, mask = torch.rot90(image, turns, (1, 2)), torch.rot90(mask, turns, (0, 1))
    if rng.random() < 0.5:
        image, mask = image.flip(2), mask.flip(1)
    image = (image - image.mean()) * float(rng.uniform(0.7, 1.3)) + image.mean() + float(rng.uniform(-0.2, 0.2))
    return image.clamp(0, 1), mask


def train(net, pictures, seconds, seed=0):
    """Steps that were taken within the time; the learning rate falls with the time that is left."""
    rng, steps = np.random.default_rng(seed), 0
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE)
    began = time.perf_counter()
    while (share := (time.perf_counter() - began) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - share) ** 0.9
        chosen = [sample(*pictures[i], rng) for i in rng.choice(len(pictures), BATCH, replace=False)]
        images = torch.stack([image for image, _ in chosen]).sub(0.5).div(0.5).contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(net(images), torch.stack([mask for _, mask in chosen]).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    return steps


@torch.no_grad()
def segments(net, image):
    """Connected parts of what is more nucleus than background; the rest is background."""
    height, width = image.shape[1:]
    padded = F.pad(image.sub(0.5).div(0.5), (0, -width % DIVISOR, 0, -height % DIVISOR))
    mask = net(padded[None]).argmax(1)[0, :height, :width].numpy()
    parts, count = ndimage.label(mask)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    kept = (sizes >= LEAST) & (np.arange(count + 1) > 0)
    ids = np.where(kept, np.cumsum(kept), kept.sum() + 1)[parts].astype(np.int32)
    return Prediction(segments=torch.from_numpy(ids), segment_labels=torch.tensor([0] * int(kept.sum()) + [1]))


def main(folder, seconds="1500"):
    root = Path(folder) / "nuclei"
    torch.manual_seed(0)
    net = network(Path(folder) / "weights" / "tf_efficientnet_lite0_in1k.fp16.safetensors")
    began = time.perf_counter()
    steps = train(net.train(), read(root, "train"), float(seconds))
    data = Nuclei(root=str(root))
    metric, val = PanopticMetrics(data.spec), data.open("val")
    for i in range(len(val)):
        example = val[i]
        predicted = segments(net.eval(), example["image"].float() / 255)
        metric.update([metric.measure(predicted, derive(example, {"segments"}, data.spec))])
    figures = {name: round(float(value), 4) for name, value in metric.compute().items() if name in ("pq/nucleus", "sq_things", "rq_things")}
    print(f"plain loop: {figures} after {steps} steps, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
