"""Panoptic statistics of one image, 1024x2048, 19 classes: beside torchmetrics and the rules written out, taken in turn.

    python -m tests.benchmarks.panoptic_quality [segments noise files]

Medians of paired rounds. The loop is `tests.functional.panoptic_rules`: np.unique of the joint ids and of the prediction's, then
Python over pairs and segments, as the official script does; its truth's areas are counted too (the script reads them from
a file, so `official` leaves that out: the ratio to look at). Ids are decoded already, but for `files`.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial import cKDTree
from torchmetrics.detection import PanopticQuality

from segexp.functional.panoptic import Segments, panoptic_statistics
from segexp.functional.panoptic_png import numbered, read_ids, write_ids
from tests.benchmarks.kernels import paired, row
from tests.functional import panoptic_rules as rules

CLASSES, THINGS, SIZE = 19, range(11, 19), (1024, 2048)


def scene(segments, seed=0):
    """A map of cells with wavy contours, and the same moved a little with a tenth of the labels wrong; a band of void."""
    rng = np.random.default_rng(seed)
    tree = cKDTree(rng.random((segments, 2)) * SIZE)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    maps = []
    for shift in (0, 4):
        at = np.stack([y + shift + 3 * np.sin(x / 9), x + 2 * shift + 3 * np.sin(y / 7)], -1)
        maps.append(torch.from_numpy(tree.query(at.reshape(-1, 2))[1].reshape(SIZE).astype(np.int32) + 1))
    maps[0][:60] = 0
    labels = torch.from_numpy(rng.integers(0, CLASSES, size=segments))
    wrong = torch.where(torch.from_numpy(rng.random(segments) < 0.1), (labels + 1) % CLASSES, labels)
    return Segments(maps[0], labels, torch.from_numpy(rng.random(segments) < 0.05)), Segments(maps[1], wrong)


def noise(segments, seed=0):
    """Every pixel of the prediction drawn by itself."""
    truth, _ = scene(40, seed)
    rng = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, segments + 1, SIZE, generator=rng, dtype=torch.int32)
    return truth, Segments(ids, torch.randint(0, CLASSES, (segments,), generator=rng))


def ruled(truth, predicted):
    """The rules' arguments, and both maps as the official decoding gives them."""
    real = {i: (int(k), bool(c)) for i, (k, c) in enumerate(zip(truth.labels, truth.crowd, strict=True), 1)}
    guess = {i: int(k) for i, k in enumerate(predicted.labels, 1)}
    return truth.ids.numpy().astype(np.uint32), real, predicted.ids.numpy().astype(np.uint32), guess


def checked(truth, predicted, arguments):
    """Ours, compared once with the rules."""
    found = panoptic_statistics(truth, predicted, CLASSES)
    wanted = rules.statistics(*arguments)
    assert len(found["matches"]) == sum(values[1] for values in wanted.values())
    assert int(found["wrong"].sum()) == sum(values[2] for values in wanted.values())
    assert int(found["missed"].sum()) == sum(values[3] for values in wanted.values())
    return len(found["matches"])


def compared(name, truth, predicted, goal, rounds=9, limit=""):
    arguments = ruled(truth, predicted)
    matches = checked(truth, predicted, arguments)
    recount = statistics.median(timed(lambda: rules.pixels(arguments[0])) for _ in range(3))
    found = paired(rounds, loop=lambda: rules.statistics(*arguments), ours=lambda: panoptic_statistics(truth, predicted, CLASSES))
    row(f"{name}, the loop", found["loop"], found["ours"], "", f"{matches} matches")
    row(f"{name}, official", found["loop"] - recount, found["ours"], goal, limit)


def timed(form):
    began = time.perf_counter()
    form()
    return time.perf_counter() - began


def segments():
    truth, predicted = scene(40)
    compared("40 segments", truth, predicted, ">= 5")
    stuff = [k for k in range(CLASSES) if k not in THINGS]
    peer = PanopticQuality(things=set(THINGS), stuffs=set(stuff), allow_unknown_preds_category=True)
    first, second = (torch.stack([of_class(part), part.ids.long()], -1)[None] for part in (predicted, truth))
    found = paired(5, peer=lambda: peer.update(first, second), ours=lambda: panoptic_statistics(truth, predicted, CLASSES))
    row("40 segments, torchmetrics PanopticQuality", found["peer"], found["ours"], ">= 300")
    compared("1,000 segments", *scene(1000), ">= 5", limit="ours <= 30 ms")


def of_class(part):
    return torch.cat([torch.zeros(1, dtype=torch.int64), part.labels])[part.ids.long()]


def adversarial():
    for count in (40, 1000, 100_000):
        compared(f"noise of {count} ids", *noise(count), ">= 1/1.2", rounds=3)


def files():
    truth, predicted = scene(40)
    spread = np.concatenate([[0], np.random.default_rng(0).choice(2**24 - 1, 40, replace=False) + 1])  # ids as files have them
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.png" for name in ("truth", "predicted")]
        for path, part in zip(paths, (truth, predicted), strict=True):
            write_ids(path, spread[part.ids.numpy()])

        def ours():
            parts = [
                part._replace(ids=torch.from_numpy(numbered(read_ids(path), spread[1:])[0]))
                for path, part in zip(paths, (truth, predicted), strict=True)
            ]
            return panoptic_statistics(*parts, CLASSES)

        real = {int(spread[i]): (int(k), bool(c)) for i, (k, c) in enumerate(zip(truth.labels, truth.crowd, strict=True), 1)}
        guess = {int(spread[i]): int(k) for i, k in enumerate(predicted.labels, 1)}

        def official():
            first, second = (decoded(path) for path in paths)
            return rules.statistics(first, real, second, guess)

        direct = panoptic_statistics(truth, predicted, CLASSES)
        assert all(torch.equal(direct[name], values) for name, values in ours().items())
        found = paired(7, peer=official, ours=ours)
        row("two PNGs, PIL and the loop", found["peer"], found["ours"], "", "ours <= 100 ms")


def decoded(path):
    colors = np.array(Image.open(path), dtype=np.uint32)
    return colors[..., 0] + 256 * colors[..., 1] + 65536 * colors[..., 2]


if __name__ == "__main__":
    parts = {"segments": segments, "noise": adversarial, "files": files}
    for part in sys.argv[1:] or parts:
        parts[part]()
