"""Making a training sample of CamVid beside torchvision v2, and beside decoding alone: batches taken in turn.

    python -m tests.benchmarks.pipeline [rounds] [folder of shared data]

One process, one thread, the same pictures, decoder and parameters; times are the thread's own, without those of waiting for
a core. A turn makes a batch of 8 samples by each of the pipelines:

    decode           the picture and its labels, as the data set reads them; the others begin with the same
    ours, no jitter  then scale, crop and flip in one resample
    ours             and then `Photometric`
    torchvision      then ScaleJitter, RandomCrop, RandomHorizontalFlip and ColorJitter on tv_tensors, labels too

Two settings: `full`, a crop of 360x480 from scales of 0.5 to 2, and `half`, 176x240 from 0.375 to 0.8 (as in
experiment=camvid_lite0). What is computed differently: torchvision resizes the whole picture, we the part that the crop
shows; it clips and rounds after each colour change, we once; it shifts the hue of HSV, we turn colours about the grey axis
(see `Photometric`). Both draw every change of every sample, with the same ranges, in random order.
"""

import os
import statistics
import sys
import time
from pathlib import Path

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from segexp.augmentation.photometric import Photometric
from segexp.augmentation.scale_crop import ScaleCrop
from segexp.data.camvid import CamVid
from segexp.functional.keys import generator

SHARED = Path(os.environ.get("SEGEXP_SHARED", "../shared"))
JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
SETTINGS = {"full": ((360, 480), 1.0, (0.5, 2.0)), "half": ((176, 240), 0.5, (0.75, 1.6))}  # crop, scale, jitter
HEIGHT = 360
BATCH = 8


def ours(opened, crop, scale, jitter, **steps):
    augment = ScaleCrop(crop=crop, scale=scale, jitter=jitter, pad=True, steps=steps)
    return lambda turn: augment(opened[turn % len(opened)], generator("pipeline", turn))


def theirs(opened, crop, scale, jitter):
    chain = v2.Compose(
        [
            v2.ScaleJitter((HEIGHT, HEIGHT * 4 // 3), tuple(scale * factor for factor in jitter)),
            v2.RandomCrop(crop, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: 255}),
            v2.RandomHorizontalFlip(0.5),
            v2.ColorJitter(**JITTER),
        ]
    )

    def make(turn):
        sample = opened[turn % len(opened)]
        return chain({"image": sample["image"], "semantic": sample["semantic"]})

    return make


def measure(pipelines, rounds):
    """Seconds of the thread for a sample, in each turn of each pipeline."""
    seconds = {name: [] for name in pipelines}
    for turn in range(-1, rounds):  # the first is for warming up
        for name, make in pipelines.items():
            began = time.thread_time()
            for number in range(BATCH):
                make(BATCH * (turn + 1) + number)
            if turn >= 0:
                seconds[name].append((time.thread_time() - began) / BATCH)
    return seconds


def main(rounds=40, shared=SHARED):
    torch.set_num_threads(1)
    opened = CamVid(root=str(shared / "data" / "camvid")).open("train")
    for title, setting in SETTINGS.items():
        pipelines = {
            "decode": lambda turn: opened[turn % len(opened)],
            "ours, no jitter": ours(opened, *setting),
            "ours": ours(opened, *setting, photometric=Photometric(**JITTER)),
            "torchvision": theirs(opened, *setting),
        }
        seconds = measure(pipelines, rounds)
        print(f"{title}: crop {setting[0]}, scale {setting[1]}, jitter {setting[2]}, {rounds} turns, one thread")
        for name, times in seconds.items():
            print(f"  {name}: {statistics.median(times) * 1e3:.2f} ms a sample")
        for above, below in (("torchvision", "ours"), ("decode", "ours"), ("decode", "ours, no jitter")):
            ratio = statistics.median(a / b for a, b in zip(seconds[above], seconds[below], strict=True))
            total = sum(seconds[above]) / sum(seconds[below])
            print(f"  {below} makes {ratio:.2f} x the samples/s of {above} (median of turns; {total:.2f} of all time)")
        beyond = [statistics.median(seconds[name]) - statistics.median(seconds["decode"]) for name in ("torchvision", "ours")]
        print(f"  beyond decoding, torchvision takes {beyond[0] / beyond[1]:.2f} x the time of ours")


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, Path), sys.argv[1:], strict=False)))
