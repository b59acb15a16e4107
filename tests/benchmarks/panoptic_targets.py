"""Targets of Panoptic-DeepLab from a segment map of 1024x2048: beside a mask per segment, taken in turn.

    GOMP_SPINCOUNT=10000 python -m tests.benchmarks.panoptic_targets

(The spin count is the one that segexp sets.) Medians of paired rounds. Peer: the published generator's steps, a handful of
comparisons with the whole map for each segment. A scene is a floor of 8 stuff classes and ellipses of things on it.
"""

import torch

from segexp.functional import segments as segment_ops
from segexp.functional.centers import center_targets, pixel_weights
from tests.benchmarks.kernels import SIZE, paired, row

STUFF, SIGMA = 8, 8


def scene(instances, seed=0):
    """(Segments, which are things, which are crowds); things cover about a fifth of the image whatever their number."""
    rng = torch.Generator().manual_seed(seed)
    ys, xs = torch.arange(SIZE[0])[:, None], torch.arange(SIZE[1])
    segments = (1 + (ys * STUFF // SIZE[0])).int().repeat(1, SIZE[1])
    radius = (0.25 * SIZE[0] * SIZE[1] / instances / 3.14) ** 0.5
    for number in range(STUFF + 1, STUFF + 1 + instances):
        y, x = (int(torch.randint(0, n, (1,), generator=rng)) for n in SIZE)
        tall = 0.6 + 0.8 * float(torch.rand(1, generator=rng))
        down, across = (slice(max(int(c - 2 * radius), 0), int(c + 2 * radius) + 1) for c in (y, x))
        inside = ((ys[down] - y) / (tall * radius)) ** 2 + ((xs[across] - x) * tall / radius) ** 2 < 1
        segments[down, across][inside] = number
    things = torch.arange(STUFF + instances) >= STUFF
    return segments, things, torch.rand(len(things), generator=rng) < 0.03


def mask_per_segment(segments, things, crowd):
    """(Heatmap, vectors, class, weights of the centre, of the vectors, of the class)."""
    ys = torch.arange(SIZE[0], dtype=torch.float32)[:, None].expand(SIZE)
    xs = torch.arange(SIZE[1], dtype=torch.float32).expand(SIZE)
    center, offset, classes = torch.zeros(SIZE), torch.zeros(2, *SIZE), torch.full(SIZE, 255)
    center_weight, offset_weight = torch.zeros(2, *SIZE, dtype=torch.bool)
    weight, side = torch.ones(SIZE), torch.arange(6 * SIGMA + 3) - (3 * SIGMA + 1)
    window = (-(side[:, None].double() ** 2 + side**2) / (2 * SIGMA**2)).exp().float()
    for number in range(1, len(things) + 1):
        classes[segments == number] = number % 19
        if not crowd[number - 1]:
            center_weight[segments == number] = True
            if things[number - 1]:
                offset_weight[segments == number] = True
        if not things[number - 1]:
            continue
        y, x = (segments == number).nonzero(as_tuple=True)
        if not len(y):
            continue
        if len(y) < 4096:
            weight[segments == number] = 3
        middle = y.double().mean(), x.double().mean()
        top, left = (int(m) - 3 * SIGMA - 1 for m in middle)
        down, across = (slice(max(c, 0), min(c + len(side), n)) for c, n in zip((top, left), SIZE, strict=True))
        part = window[down.start - top : down.stop - top, across.start - left : across.stop - left]
        center[down, across] = torch.maximum(center[down, across], part)
        offset[0, y, x], offset[1, y, x] = (m - axis[y, x] for m, axis in zip(middle, (ys, xs), strict=True))
    return center, offset, classes, center_weight, offset_weight, weight


def ours(segments, things, crowd):
    made = center_targets(segments, things, sigma=SIGMA)
    weights = pixel_weights(segments, things, crowd, small_area=4096, small_weight=3.0)
    classes = segment_ops.of_pixels(segments, torch.arange(1, len(things) + 1) % 19, 255)
    return made.center, made.offset, classes, weights.center, weights.offset, weights.semantic


def main():
    for instances, rounds in ((5, 7), (40, 7), (200, 1), (1000, 1)):
        case = scene(instances)
        wanted, found = mask_per_segment(*case), ours(*case)
        worst = max(float((a.float() - b.float()).abs().max()) for a, b in zip(wanted, found, strict=True))
        times = paired(rounds, peer=lambda c=case: mask_per_segment(*c), ours=lambda c=case: ours(*c))
        row(
            f"targets, {instances} instances",
            times["peer"],
            times["ours"],
            ">= 6" if instances == 40 else "",
            f"largest difference {worst:.0e}",
        )


if __name__ == "__main__":
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    main()
