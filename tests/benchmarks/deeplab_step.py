"""A training step of DeepLabv3+ on ResNet-50 beside segmentation-models-pytorch's, and what a checkpointed stage saves and costs.

    python -m tests.benchmarks.deeplab_step [pairs]

A step is forward, loss at full size, backward, SGD; both nets take steps in turn on the same images. Ours has the peer's
architecture: output stride 16, rates 12/24/36, separable convolutions, one fuse convolution, one convolution after the ASPP.
"""

import gc
import statistics
import sys
import time

import segmentation_models_pytorch as smp
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from segexp.build import chain, open_dataset, stages
from segexp.config import compose
from segexp.functional.keys import generator
from segexp.optim.recompute import checkpoint_stages
from segexp.probe import example

CLASSES = 21
KEYS = (
    *("data=voc", "task=semantic", "model=deeplabv3plus", "backbone=resnet50", "backbone.output_stride=16", "loss=cross_entropy"),
    *("backbone.first_block_dilation=full", "decoder.rates=[12,24,36]", "decoder.fuse_convs=1", "decoder.post_conv=true"),
    *("decoder.align_corners=true", "decoder.dropout=0.5"),
)
WARM = 2  # pairs that don't count


def ours(config, size, images, device="cpu"):
    """(model, loss, batch) of our form."""
    spec = open_dataset(config).spec
    with torch.device(device):
        parts = chain(spec, **stages(config))
    batch = example(spec, parts.model.head.needs | parts.loss.needs, parts.loss.count, size=(size, size), images=images)
    return parts.model.to(memory_format=torch.channels_last).train(), parts.loss, batch


def our_step(config, size, images):
    model, loss, batch = ours(config, size, images)
    return model, stepper(model, lambda: sum(loss(model(batch.images, batch.sizes, batch.targets), batch).values()))


def peer_step(size, images, memory_format):
    model = smp.DeepLabV3Plus("resnet50", encoder_weights=None, classes=CLASSES).train().to(memory_format=memory_format)
    pixels = torch.rand(images, 3, size, size, generator=generator("pixels", 0)).to(memory_format=memory_format)
    labels = torch.randint(0, CLASSES, (images, size, size), generator=generator("labels", 0))
    return model, stepper(model, lambda: F.cross_entropy(model(pixels), labels, reduction="sum"))


def stepper(model, loss):
    optimizer = torch.optim.SGD(model.parameters(), 1e-9, momentum=0.9)

    def step():
        began = time.perf_counter()
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        return time.perf_counter() - began

    return step


def paired(name, one, other, pairs):
    """Print the medians of two steps taken in turn, the first of a pair changing, and their ratio."""
    times = []
    for number in range(WARM + pairs):
        first = one() if number % 2 else None
        second = other()
        times.append((first or one(), second))
    a, b = ([pair[i] for pair in times[WARM:]] for i in range(2))
    ratio = statistics.median(x / y for x, y in zip(a, b, strict=True))
    print(f"{name}: {statistics.median(a):.3f} s beside {statistics.median(b):.3f} s, {pairs} pairs")
    print(f"  ratio of medians {statistics.median(a) / statistics.median(b):.3f}, median of ratios {ratio:.3f}", flush=True)


def saved(config, size, images, checkpointed):
    """Bytes that a forward pass leaves for the backward pass, each storage once, weights left out; on the meta device."""
    model, loss, batch = ours(config, size, images, device="meta")
    checkpoint_stages(model.backbone, checkpointed)
    batch = batch.to("meta")
    with torch.device("meta"), Made() as made:
        total = sum(loss(model(batch.images, batch.sizes, batch.targets), batch).values())
    assert total.requires_grad
    return made.alive()


class Made(TorchDispatchMode):
    """Knows each storage that is made within the block."""

    def __init__(self):
        super().__init__()
        self.storages = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (list, tuple)) else (result,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.storages.setdefault(StorageWeakRef(storage), storage.nbytes())
        return result

    def alive(self):
        """Bytes of those that something still holds."""
        gc.collect()
        return sum(size for reference, size in self.storages.items() if not reference.expired())


def main(pairs=10):
    config = compose("train", list(KEYS))
    print(f"{torch.get_num_threads()} threads")
    model, mine = our_step(config, 256, 4)
    for name, layout in (("NCHW", torch.contiguous_format), ("channels_last", torch.channels_last)):
        peer, theirs = peer_step(256, 4, layout)
        print("parameters", sum(p.numel() for p in model.parameters()), "beside", sum(p.numel() for p in peer.parameters()))
        paired(f"ours beside the peer in {name}, 4x256x256", mine, theirs, pairs)
    without, with_one = (saved(config, 512, 4, count) for count in (0, 1))
    print(f"saved for backward, 4x512x512: {with_one / 2**20:.0f} MiB beside {without / 2**20:.0f} MiB, ratio {with_one / without:.3f}")
    other, checkpointed = our_step(config, 256, 4)
    checkpoint_stages(other.backbone, 1)
    paired("stage 1 checkpointed beside not, 4x256x256", checkpointed, mine, pairs)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
