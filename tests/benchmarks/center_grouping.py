"""Pixels to the nearest of 200 centres, 1024x2048: beside the matrix of all distances, taken in turn.

    GOMP_SPINCOUNT=10000 python -m tests.benchmarks.center_grouping

(The spin count is the one that segexp sets.) Medians of paired rounds on the same pixels. Peers: published code's line,
`torch.norm(centers[:, None] - ends[None], dim=-1).argmin(0)`, here over bands of pixels, as the whole of it takes 5 GB; and
the same distances written out, which are faster. `trained`: vectors that end within some pixels of a centre; `untrained`:
vectors that lead nowhere; `ties`: ends on half pixels, centres on a lattice of 8 pixels, half of them twice.
"""

import re
import subprocess
import sys
from pathlib import Path

import torch

from segexp.functional.grouping import find_centers, nearest, nearest_direct
from segexp.postprocess.center_grouping import CenterGrouping
from segexp.types import CenterOffset, ClassInfo, DataSpec
from tests.benchmarks.kernels import SIZE, paired, peak, row

CENTERS, BAND = 200, 2**16


def scene(kind, share, seed=0):
    """(y, x) where the vectors of a share of the pixels end, and the centres."""
    rng = torch.Generator().manual_seed(seed)
    middle = torch.stack([torch.randint(0, n, (CENTERS,), generator=rng) for n in SIZE], 1).float()
    pixels = SIZE[0] * SIZE[1]
    places = torch.randperm(pixels, generator=rng)[: int(pixels * share)].sort().values
    y, x = (places // SIZE[1]).float(), (places % SIZE[1]).float()
    if kind == "trained":
        y, x = middle[nearest(y, x, middle)].unbind(1)
    if kind == "ties":
        middle = middle // 8 * 8
        middle[: CENTERS // 2] = middle[CENTERS // 2 :]
        return *(axis + torch.randint(-9, 9, axis.shape, generator=rng) / 2 for axis in (y, x)), middle
    return *(axis + 6 * torch.randn(axis.shape, generator=rng) for axis in (y, x)), middle


def matrix(y, x, middle):
    bands = zip(y.split(BAND), x.split(BAND), strict=True)
    return torch.cat([torch.norm(middle[:, None] - torch.stack(ends, 1)[None], dim=-1).argmin(0) for ends in bands])


def grouping(rounds=3):
    for kind in ("trained", "untrained", "ties"):
        for share in (0.2, 1.0):
            case = scene(kind, share)
            wanted, found = matrix(*case), nearest(*case)
            note = f"{int((wanted != found).sum())} of {len(found)} differ"
            forms = {"peer": lambda c=case: matrix(*c), "direct": lambda c=case: nearest_direct(*c), "ours": lambda c=case: nearest(*c)}
            times = paired(rounds, **forms)
            row(f"grouping, {kind}, {share:.0%} of the pixels", times["peer"], times["ours"], ">= 15", note)
            row("    distances written out", times["direct"], times["ours"], ">= 15")
    for share in (0.2, 1.0):
        command = [sys.executable, "-m", "tests.benchmarks.center_grouping", f"memory={share}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        print(f"extra memory, {share:.0%} of the pixels: {re.search(r'grew by ([0-9.]+)', done.stdout)[1]} MB, goal < 150 MB")


def memory(share):
    case = scene("untrained", share)
    nearest(*(part[:1000] for part in case[:2]), case[2])  # the libraries' own memory
    Path("/proc/self/clear_refs").write_text("5")  # what making the scene took is not the grouping's
    before = peak()
    nearest(*case)
    print(f"grew by {peak() - before:.1f}")


def whole(rounds=3):
    """Everything from the network's maps at stride 4 to segments; no peer."""
    rng = torch.Generator().manual_seed(0)
    cells = [n // 4 for n in SIZE]
    coarse = torch.randn(1, 19, cells[0] // 16, cells[1] // 16, generator=rng)
    semantic = torch.nn.functional.interpolate(coarse, cells, mode="bicubic") * 4
    heat = torch.zeros(1, 1, *cells)
    heat.view(-1)[torch.randperm(heat.numel(), generator=rng)[:CENTERS]] = 0.9
    maps = CenterOffset(semantic, heat, 12 * torch.randn(1, 2, *cells, generator=rng), 4)
    data = DataSpec(tuple(ClassInfo(str(i), is_thing=i >= 11) for i in range(19)), frozenset({"segments"}))
    forms = {score: lambda s=score: CenterGrouping(data, score=s)(maps, (SIZE,), (SIZE,)) for score in ("center", "both")}
    full = torch.nn.functional.interpolate(heat, SIZE, mode="bilinear")[0, 0]
    forms["centres"] = lambda: find_centers(full, threshold=0.1, window=41, most=None)
    forms["pooling"] = lambda: torch.nn.functional.max_pool2d(full[None, None], 41, 1, 20)
    times = paired(rounds, **forms)
    row("centres, window 41; peer max_pool2d alone", times["pooling"], times["centres"], "")
    for score in ("center", "both"):
        print(f"whole post-processing, score={score}: {times[score] * 1e3:.0f} ms")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        memory(float(sys.argv[1].removeprefix("memory=")))
    else:
        print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
        grouping()
        whole()
