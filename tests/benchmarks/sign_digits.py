"""Hand signs: a plain loop over timm's own classifier with the same weights, stopped after so many seconds, and its top-1.

    python -m tests.benchmarks.sign_digits <folder that holds sign_digits/ and weights/> [seconds]

The loop is what one writes in an afternoon: timm's EfficientNet-Lite0 with a new classifier, torchvision's random crops and flips,
AdamW, cross-entropy. It is measured by this project's top-1, as `segexp train experiment=sign_digits` is.
"""

import sys
import time
from pathlib import Path

import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F
from torchvision.transforms import v2

from segexp.metrics.classification import ClassificationMetrics
from segexp.types import ClassInfo, DataSpec, Prediction, Targets

CLASSES, SIDE, BATCH, RATE = 10, 128, 32, 1e-3


def read(root, split):
    """(uint8 [N,3,SIDE,SIDE], int64 [N]) of a split: its pictures enlarged once."""
    files = sorted((root / split).glob("*/*.jpg"))
    enlarge = v2.Compose([v2.PILToTensor(), v2.Resize((SIDE, SIDE), antialias=True)])
    pictures = [enlarge(Image.open(file).convert("RGB")) for file in files]
    return torch.stack(pictures), torch.tensor([int(file.parent.name) for file in files])


def network(weights):
    """timm's classifier for ten classes with the published weights but those of the thousand."""
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=CLASSES)
    state = {name: value.float() if value.is_floating_point() else value for name, value in load_file(weights).items()}
    found = net.load_state_dict({name: value for name, value in state.items() if "classifier" not in name}, strict=False)
    assert found.missing_keys == ["classifier.weight", "classifier.bias"], found.missing_keys[:3]
    return net.to(memory_format=torch.channels_last)


def ready(pictures):
    """uint8 to what the network wants."""
    return pictures.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def train(net, pictures, labels, seconds):
    """Steps that were taken within the time; the learning rate falls with the time that is left."""
    vary = v2.Compose(
        [v2.RandomResizedCrop(SIDE, scale=(0.6, 1.0), antialias=True), v2.RandomHorizontalFlip(), v2.ColorJitter(0.4, 0.4, 0.4, 0.05)]
    )
    optimizer, steps, order = torch.optim.AdamW(net.parameters(), lr=RATE), 0, torch.tensor([], dtype=torch.int64)
    began = time.perf_counter()
    while (share := (time.perf_counter() - began) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - share) ** 0.9
        if len(order) < BATCH:
            order = torch.randperm(len(labels))
        chosen, order = order[:BATCH], order[BATCH:]
        images = torch.stack([vary(pictures[i]) for i in chosen])
        loss = F.cross_entropy(net(ready(images)), labels[chosen], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    return steps


@torch.no_grad()
def measured(net, pictures, labels):
    """The figures of this project's metric."""
    metric = ClassificationMetrics(DataSpec(tuple(ClassInfo(str(i)) for i in range(CLASSES)), frozenset({"label"})))
    for part, truth in zip(pictures.split(BATCH), labels.split(BATCH), strict=True):
        scores = net(ready(part)).softmax(1)
        records = [metric.measure(Prediction(label_scores=s), Targets(label=t)) for s, t in zip(scores, truth, strict=True)]
        metric.update(records)
    return {name: round(float(value), 4) for name, value in metric.compute().items() if "/" not in name}


def main(folder, seconds="480"):
    root = Path(folder) / "sign_digits"
    torch.manual_seed(0)
    net = network(Path(folder) / "weights" / "tf_efficientnet_lite0_in1k.fp16.safetensors")
    began = time.perf_counter()
    steps = train(net.train(), *read(root, "train"), float(seconds))
    print(f"plain loop: {measured(net.eval(), *read(root, 'val'))} after {steps} steps, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
