"""The dense CRF over cells of pixels beside all pairs of pixels, on pictures of PASCAL VOC.

    OMP_NUM_THREADS=2 python -m tests.benchmarks.dense_crf <VOC folder> [--names=000187,000129] [--half] [--exact] [--noise=1.0]

The folder holds `JPEGImages` and `SegmentationClass`. The logits are made of a picture's own labels: blurred at stride 8,
noise added, upsampled. `agree` is the share of pixels with the label that all pairs give, `moved` the share that all
pairs take from the logits' own argmax: agreement of an approximation that does nothing is 1 - moved.

The reference leaves out pairs with weights below 3e-18 (`reach` 9). With --exact it computes every pair, without leaves
and without seeing points from near by: minutes for 375x500, and the label agreement of both references is printed.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from segexp.functional import mean_field as crf
from segexp.functional.gauss_sums import GaussSums
from segexp.functional.mean_field import Appearance, Smoothness, affordable, features, mean_field, unaries

CLASSES, STRIDE, ITERATIONS = 21, 8, 5
SETTINGS = {"voc": (Smoothness(3, 1), Appearance(4, 67, 3)), "wide": (Smoothness(3, 3), Appearance(10, 80, 13))}


def case(folder, name, half, noise):
    """A picture [3,H,W] in 0..255, its labels [H,W] (void as background), and logits [K,H,W]."""
    image = torch.from_numpy(np.array(Image.open(folder / "JPEGImages" / f"{name}.jpg").convert("RGB"))).permute(2, 0, 1).float()
    truth = torch.from_numpy(np.array(Image.open(folder / "SegmentationClass" / f"{name}.png"))).long()
    truth[truth == 255] = 0
    if half:
        size = [side // 2 for side in truth.shape]
        image = F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
        truth = F.interpolate(truth[None, None].float(), size)[0, 0].long()
    shares = F.one_hot(truth, CLASSES).permute(2, 0, 1).float()[None]
    coarse = F.interpolate(shares, [-(-side // STRIDE) for side in truth.shape], mode="bilinear", antialias=True)
    coarse = F.avg_pool2d(F.pad(coarse, (1, 1, 1, 1), mode="replicate"), 3, 1)
    coarse = 6 * coarse + noise * torch.randn(coarse.shape, generator=torch.Generator().manual_seed(0))
    return image, truth, F.interpolate(coarse, truth.shape, mode="bilinear")[0]


class AllPairs:
    """In place of `GaussSums`: the definition, a few rows of weights at a time."""

    def __init__(self, points, **_):
        self.points = points

    def __call__(self, values):
        half = self.points.square().sum(1) / 2
        out = torch.empty_like(values)
        for rows in torch.arange(values.shape[1]).split(64):
            weights = (self.points[rows] @ self.points.T).sub_(half[rows, None]).sub_(half).clamp_(min=-60).exp_()
            out[:, rows] = values @ weights.T
        return out


def timed(form):
    began = time.perf_counter()
    found = form()
    return found.argmax(0), time.perf_counter() - began


def report(folder, name, setting, half, noise, brute):
    image, truth, logits = case(folder, name, half, noise)
    gaussian, bilateral = SETTINGS[setting]
    given = {"iterations": ITERATIONS, "gaussian": gaussian, "bilateral": bilateral}
    cells, seconds = timed(lambda: mean_field(unaries(logits), image, exact=False, **given))
    reference, slow = timed(lambda: mean_field(unaries(logits), image, exact=True, **given))
    share = lambda one, other: 100 * float((one == other).float().mean())  # noqa: E731
    plain = logits.argmax(0)
    sums = affordable(features(image, bilateral))
    where = f"{name} {setting:5} {truth.shape[0]}x{truth.shape[1]}"
    times = f"{seconds:6.2f} s, all pairs {slow:6.1f} s"
    agreement = f"agree {share(cells, reference):7.3f} %, moved {100 - share(plain, reference):6.2f} %"
    right = "right: " + ", ".join(f"{what} {share(x, truth):.2f}" for what, x in (("logits", plain), ("cells", cells), ("all", reference)))
    print(f"{where}  {times}   {agreement}   {right} %   {sums.total} cells, {sums.pairs:.2e} pairs", flush=True)
    if brute:
        crf.GaussSums = AllPairs
        every, seconds = timed(lambda: mean_field(unaries(logits), image, exact=True, **given))
        crf.GaussSums = GaussSums
        print(
            f"    every pair {seconds:7.1f} s   cells agree {share(cells, every):7.3f} %   reach 9 agrees {share(reference, every):8.4f} %",
            flush=True,
        )


def main():
    words, flags = ([a for a in sys.argv[1:] if a.startswith("--") == kind] for kind in (False, True))
    options = dict(flag[2:].split("=", 1) if "=" in flag else (flag[2:], "yes") for flag in flags)
    for name in options.get("names", "000187,000129").split(","):
        for setting in options.get("settings", "voc,wide").split(","):
            report(Path(words[0]), name, setting, "half" in options, float(options.get("noise", 1.0)), "exact" in options)


if __name__ == "__main__":
    main()
