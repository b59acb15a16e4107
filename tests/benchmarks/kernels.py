"""Counts, upsample + argmax, upsample + loss: beside torch and torchmetrics, taken in turn.

    GOMP_SPINCOUNT=10000 python -m tests.benchmarks.kernels [counts argmax loss]

(The spin count is the one that segexp sets.) Medians of paired rounds. The trained logits are those of the default model
after five epochs of `data=shapes`, at 24x32 cells for each of 176 pictures that it hasn't seen, laid side by side to 256x512
cells, which is harder than a picture of that size: the seams are edges too. To its 8 classes come 11 that never win, each
a copy of one of the 8 less the range of all.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional as F
from torchmetrics.classification import MulticlassJaccardIndex

from segexp.build import build, prepare, trainer
from segexp.callbacks.evaluation import RunInfo
from segexp.config import compose
from segexp.functional.argmax import largest, mixed_cells, upsampled_argmax
from segexp.functional.confusion import confusion_matrix
from segexp.functional.resize import taps
from segexp.functional.upsampled_loss import Terms, summed_cross_entropy
from segexp.losses.ohem import Ohem
from segexp.types import Batch, ClassInfo, DataSpec, SemanticLogits, Targets

CLASSES, SIZE, CELLS = 19, (1024, 2048), (256, 512)


def paired(rounds, **forms):
    """Median seconds of each form, all of them run in turn."""
    times = {name: [] for name in forms}
    for turn in range(rounds + 1):
        for name, form in forms.items():
            began = time.perf_counter()
            form()
            if turn:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def row(name, peer, ours, goal, note=""):
    print(f"{name:52} {peer * 1e3:8.1f} ms {ours * 1e3:8.1f} ms   {peer / ours:6.1f} x   goal {goal:>7}   {note}", flush=True)


def scene(rng):
    """Blocks of classes as prediction, the same moved a little as truth, a band of void."""
    blocks = torch.randint(0, CLASSES, (SIZE[0] // 16, SIZE[1] // 16), generator=rng)
    predicted = blocks.repeat_interleave(16, 0).repeat_interleave(16, 1)
    truth = predicted.roll((3, 5), (0, 1))
    truth[:100] = 255
    return predicted, truth


def counts(rounds=15):
    predicted, truth = scene(torch.Generator().manual_seed(0))
    small = predicted.byte(), truth.byte()
    checked, unchecked = (MulticlassJaccardIndex(CLASSES, ignore_index=255, validate_args=v) for v in (True, False))
    checked.update(predicted, truth)
    assert torch.equal(checked.confmat, confusion_matrix(*small, CLASSES, 255))
    for theirs in ((predicted, truth), small):
        forms = {"checked": lambda x=theirs: checked.update(*x), "unchecked": lambda x=theirs: unchecked.update(*x)}
        found = paired(rounds, **forms, ours=lambda: confusion_matrix(*small, CLASSES, 255))
        kind = str(theirs[0].dtype).removeprefix("torch.")
        row(f"counts, uint8 labels; peer {kind}", found["checked"], found["ours"], ">= 20")
        row(f"counts, uint8 labels; peer {kind}, validate_args=False", found["unchecked"], found["ours"], ">= 5")
    wide = paired(rounds, peer=lambda: checked.update(predicted, truth), ours=lambda: confusion_matrix(predicted, truth, CLASSES, 255))
    row("counts, int64 labels", wide["peer"], wide["ours"], "")
    logits = torch.randn(1, CLASSES, *SIZE)
    found = paired(
        rounds // 3,
        peer=lambda: unchecked.update(logits, truth[None]),
        ours=lambda: confusion_matrix(largest(logits[0]), small[1], CLASSES, 255),
    )
    row("counts from full-size logits, validate_args=False", found["peer"], found["ours"], ">= 6")


def trained_logits():
    """[19,256,512]: see the head of this file."""
    config = compose("train", ["data.val=176", "trainer.accelerator=cpu"])
    prepare(config)
    experiment = build(config)
    with tempfile.TemporaryDirectory() as folder:
        lightning = trainer(config, RunInfo(Path(folder), config.monitor), training=True)
        lightning.fit(experiment.task, datamodule=experiment.datamodule)
        model = experiment.task.model.eval()
        with torch.no_grad():
            loader = experiment.datamodule.val_dataloader()
            batches = [experiment.datamodule.on_after_batch_transfer(batch, 0) for batch in loader]
            maps = torch.cat([model(batch.images, batch.sizes).logits for batch in batches])  # [176,8,24,32]
    print(f"trained: val mIoU {experiment.task.figures['val']['miou']:.3f}")
    rows = [torch.cat(list(maps[i : i + 16]), 2) for i in range(0, 176, 16)]
    mosaic = torch.cat(rows, 1)[:, : CELLS[0], : CELLS[1]]
    others = torch.arange(CLASSES - len(mosaic)) % len(mosaic)
    return torch.cat([mosaic, mosaic[others] - (mosaic.max() - mosaic.min())]).contiguous()


def argmax(rounds=7):
    rng = torch.Generator().manual_seed(0)
    trained = trained_logits()
    cases = [
        ("trained, x4", trained, SIZE, ">= 6, 15"),
        ("trained, to 1000x1900", trained, (1000, 1900), ""),
        ("noise, x4", torch.randn(CLASSES, *CELLS, generator=rng), SIZE, ">= 2.5"),
        ("noise, to 1000x1900", torch.randn(CLASSES, *CELLS, generator=rng), (1000, 1900), ""),
    ]
    for name, logits, size, goal in cases:

        def peer(logits=logits, size=size):
            return F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False).argmax(1)[0]

        def ours(logits=logits, size=size):
            return upsampled_argmax(logits, 4, SIZE, size)

        found = paired(rounds, peer=peer, ours=ours)
        axes = (taps(n, cells, n / cells) for n, cells in zip(size, CELLS, strict=True))
        share = 1 - mixed_cells(largest(logits), *axes).float().mean()
        row(
            f"argmax, {name}", found["peer"], found["ours"], goal, f"uniform cells {100 * share:.1f} %, {differing(peer(), ours(), logits)}"
        )


def differing(wanted, found, logits):
    """How many pixels differ, and by how much of the range the two classes do there."""
    y, x = (wanted != found).nonzero(as_tuple=True)
    full = F.interpolate(logits[None], size=wanted.shape, mode="bilinear", align_corners=False)[0]
    gap = (full[wanted[y, x], y, x] - full[found.long()[y, x], y, x]).abs() / (logits.max() - logits.min())
    return f"{len(y)} pixels differ" + (f" by at most {float(gap.max()):.0e} of the range" if len(y) else "")


def problem(layout, shape=(4, 21, 128, 128), stride=4):
    rng = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(shape, generator=rng)).contiguous(memory_format=layout).requires_grad_()
    target = torch.randint(0, shape[1], (shape[0], shape[2] * stride, shape[3] * stride), generator=rng)
    target[:, :60] = 255
    return logits, target


def step(logits, target, terms, *, fused):
    """Loss and gradient; the plain form is F.interpolate and F.cross_entropy themselves."""
    logits.grad = None
    if fused:
        summed_cross_entropy(logits, target, target.shape[1] // logits.shape[2], terms).backward()
        return
    full = F.interpolate(logits, size=target.shape[1:], mode="bilinear", align_corners=False)
    rule = {"weight": terms.class_weights, "label_smoothing": terms.smoothing}
    F.cross_entropy(full, target, ignore_index=255, reduction="sum", **rule).backward()


def loss(rounds=9):
    for layout, kind in ((torch.contiguous_format, "NCHW"), (torch.channels_last, "NHWC")):
        compared(f"4x21x128x128 x4, {kind}", *problem(layout), rounds)
    compared("2x19x128x256 x8, NHWC", *problem(torch.channels_last, (2, 19, 128, 256), 8), rounds // 3)
    plain, fused = (extra_memory(form) for form in ("plain", "fused"))
    print(f"extra memory: interpolate + cross_entropy {plain:.0f} MB, ours {fused:.0f} MB, ratio {fused / plain:.2f}, goal <= 0.5")


def compared(name, logits, target, rounds):
    smooth = Terms(255, torch.linspace(0.5, 2, logits.shape[1]), 0.1)
    for kind, terms in (("", Terms(255)), (", weights, smoothing", smooth)):
        found = paired(
            rounds, peer=lambda t=terms: step(logits, target, t, fused=False), ours=lambda t=terms: step(logits, target, t, fused=True)
        )
        row(f"loss, {name}{kind}", found["peer"], found["ours"], ">= 1.4")
    found = paired(rounds, peer=lambda: top_k(logits, target, fused=False), ours=lambda: top_k(logits, target, fused=True))
    row(f"top-k of 0.2, {name}", found["peer"], found["ours"], ">= 1")


def top_k(logits, target, *, fused):
    logits.grad = None
    spec = DataSpec(tuple(ClassInfo(str(i)) for i in range(logits.shape[1])), frozenset({"semantic"}))
    sizes = (tuple(target.shape[1:]),) * len(target)
    batch = Batch(torch.zeros(()), sizes, sizes, [Targets(semantic=t) for t in target], [], ("",) * len(target))
    Ohem(spec, fused=fused)(SemanticLogits(logits, target.shape[1] // logits.shape[2]), batch)["ohem"].backward()


def extra_memory(form):
    """Growth of the peak of resident memory by one step in a fresh process, in MB."""
    command = [sys.executable, "-m", "tests.benchmarks.kernels", f"memory-{form}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return float(re.search(r"grew by ([\d.]+)", done.stdout)[1])


def memory(form):
    logits, target = problem(torch.contiguous_format)
    small, few = problem(torch.contiguous_format, (1, 21, 64, 64))
    step(small, few, Terms(255), fused=form == "fused")  # the libraries' own memory
    before = peak()
    step(logits, target, Terms(255), fused=form == "fused")
    print(f"grew by {peak() - before:.1f}")


def peak():
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


if __name__ == "__main__":
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for part in sys.argv[1:] or ("counts", "argmax", "loss"):
        if part.startswith("memory-"):
            memory(part.removeprefix("memory-"))
        else:
            {"counts": counts, "argmax": argmax, "loss": loss}[part]()
