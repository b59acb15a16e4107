"""The hardest pixels: by hand, against sorting, and against published code where its golden values are."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segexp.errors import ConfigError
from segexp.functional import upsampled_loss
from segexp.losses.ohem import Ohem
from segexp.types import Batch, ClassInfo, DataSpec, SemanticLogits, Targets

GOLDEN = Path(os.environ.get("SEGEXP_SHARED", Path(__file__).parents[3] / "shared")) / "reference" / "golden"
golden = pytest.mark.skipif(not GOLDEN.exists(), reason=f"no golden arrays in {GOLDEN}: set SEGEXP_SHARED")


def spec(classes):
    return DataSpec(tuple(ClassInfo(f"c{i}") for i in range(classes)), frozenset({"semantic"}))


def batch_of(*maps):
    sizes = tuple(tuple(m.shape) for m in maps)
    return Batch(torch.zeros(len(maps), 3, *sizes[0]), sizes, sizes, [Targets(semantic=m) for m in maps], [], ("a",) * len(maps))


def figure(loss, logits, *maps, stride=1):
    batch = batch_of(*maps)
    return float(loss(SemanticLogits(logits, stride), batch)["ohem"].detach()) / loss.count(batch.targets)["ohem"]


def row_of(*losses):
    """Logits of two classes and labels, one row, whose cross-entropies are these; None is an ignored pixel."""
    gaps = [0.0 if x is None else math.log(math.expm1(x)) if x else -200.0 for x in losses]  # log(1 + exp(gap)) = loss
    logits = torch.stack([torch.zeros(len(gaps)), torch.tensor(gaps)])[None, :, None]  # [1,2,1,N]
    return logits, torch.tensor([[255 if x is None else 0 for x in losses]])


ROW = row_of(1.0, 5.0, None, 3.0, 2.0, None, 4.0, 0.5)  # 6 labelled of 8


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"fraction": 0.5}, (5 + 4 + 3) / 3),  # of 6
        ({"fraction": 0.01}, 5),  # at least one
        ({"fraction": 1.0}, 15.5 / 6),
        ({"fraction": 0.5, "reduction": "batch"}, (5 + 4 + 3 + 2) / 4),  # of 8
        ({"fraction": 1.0, "reduction": "batch"}, 15.5 / 8),  # unlabelled ones count as 0
        ({"fraction": 1.0, "reduction": "nonzero"}, 15.5 / 6),  # of 8, less two that are 0
        ({"fraction": None, "threshold": math.exp(-2.5), "min_kept": 1}, (5 + 4 + 3) / 3),
        ({"fraction": None, "threshold": math.exp(-4.5), "min_kept": 4}, (5 + 4 + 3 + 2) / 4),
        ({"fraction": None, "threshold": math.exp(-9.0), "min_kept": 100}, (15.5 - 0.5) / 5),  # all but the easiest, as published
    ],
)
def test_by_hand(options, wanted):
    assert figure(Ohem(spec(2), **options), *ROW) == pytest.approx(wanted, rel=1e-5)


def test_only_kept_pixels_have_a_gradient():
    logits, target = ROW
    logits = logits.clone().requires_grad_()
    Ohem(spec(2), fraction=0.5)(SemanticLogits(logits, 1), batch_of(target))["ohem"].backward()
    assert logits.grad.abs().sum(1)[0, 0].gt(0).tolist() == [False, True, False, True, False, False, True, False]


def test_class_weights_rank_and_scale_but_do_not_count():
    loss = Ohem(spec(2), fraction=0.34, class_weights=[10.0, 1.0])
    logits = torch.stack([torch.zeros(3), torch.zeros(3)])[None, :, None]
    target = torch.tensor([[1, 0, 1]])
    assert figure(loss, logits, target) == pytest.approx(10 * math.log(2), rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"reduction": "nonzero"}, {"fraction": None, "threshold": 0.7, "min_kept": 20}], ids=str)
def test_images_of_a_batch_add_up(options):
    rng = torch.Generator().manual_seed(0)
    loss, logits = Ohem(spec(5), **options), 2 * torch.randn(3, 5, 8, 8, generator=rng)
    maps = [torch.randint(0, 5, size, generator=rng) for size in ((32, 32), (20, 30), (7, 9))]
    maps[1][:, ::2] = 255
    maps[2][:] = 255  # nothing labelled
    batch = batch_of(*maps)
    together = loss(SemanticLogits(logits, 4), batch)["ohem"]
    alone = [loss(SemanticLogits(logits[i : i + 1], 4), batch_of(m))["ohem"] for i, m in enumerate(maps)]
    assert float(together) == pytest.approx(float(sum(alone)), rel=1e-5)
    counts = [loss.count([t])["ohem"] for t in batch.targets]
    assert loss.count(batch.targets)["ohem"] == sum(counts)
    assert (float(alone[2]), counts[2]) == (0, 0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"fraction": 0.05},
        {"reduction": "batch"},
        {"reduction": "nonzero"},
        {"fraction": None, "threshold": 0.3},
        {"class_weights": True},
    ],
    ids=str,
)
def test_the_fused_form_is_the_plain_one(options, monkeypatch):
    monkeypatch.setattr(upsampled_loss, "CHOSEN_FROM", 0)
    rng = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(2, 17, 9, 12, generator=rng)
    maps = [torch.randint(0, 17, (33, 45), generator=rng) for _ in range(2)]
    maps[0][:, :9] = 255
    options = options | {"class_weights": torch.linspace(0.5, 2, 17).tolist()} if "class_weights" in options else options
    found = []
    for fused in (True, False):
        inputs = logits.clone().requires_grad_()
        total = Ohem(spec(17), fused=fused, **options)(SemanticLogits(inputs, 4), batch_of(*maps))["ohem"]
        total.backward()
        found.append((float(total.detach()), inputs.grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert float((found[0][1] - found[1][1]).abs().max()) <= 2e-6 * float(found[1][1].abs().max())
    assert found[0][0] != found[1][0] or not torch.equal(found[0][1], found[1][1])  # two forms were run, not one twice


def test_top_k_equals_torch_on_upsampled_logits():
    rng = torch.Generator().manual_seed(2)
    logits, target = 2 * torch.randn(1, 6, 9, 12, generator=rng), torch.randint(0, 6, (1, 36, 48), generator=rng)
    target[:, 20:] = 255
    losses = F.cross_entropy(F.interpolate(logits, scale_factor=4, mode="bilinear"), target, ignore_index=255, reduction="none")
    wanted = losses[target != 255].topk(int(0.2 * 20 * 48)).values.mean()
    assert figure(Ohem(spec(6)), logits, target[0], stride=4) == pytest.approx(float(wanted), rel=1e-5)


def weighted_pixels(logits, target, weights):
    """A twin of each class, of three times its weight, stands in for pixels of weight 3: (logits, target, class weights)."""
    classes, three = logits.shape[1], weights == 3
    absent = torch.full_like(logits, -1e9)
    single, triple = torch.where(three[:, None], absent, logits), torch.where(three[:, None], logits, absent)
    target = torch.where(three & (target != 255), target + classes, target)
    return torch.cat([single, triple], 1), target, [1.0] * classes + [3.0] * classes


@golden
@pytest.mark.parametrize(
    ("name", "weighted", "options"),
    [
        ("DeepLabCE_top0p2_noweights", False, {"fraction": 0.2, "reduction": "batch"}),
        ("DeepLabCE_top0p2", True, {"fraction": 0.2, "reduction": "batch"}),
        ("DeepLabCE_top1", True, {"fraction": 1.0, "reduction": "batch"}),
        ("tf_topk0p2_nonzero_mean", True, {"fraction": 0.2, "reduction": "nonzero"}),
        ("tf_top1_nonzero_mean", True, {"fraction": 1.0, "reduction": "nonzero"}),
        ("RegularCE", False, {"fraction": 1.0}),
        ("Ohem_t0p7_k1000", False, {"fraction": None, "threshold": 0.7, "min_kept": 1000}),
    ],
)
def test_golden_values_of_published_code(name, weighted, options):
    wanted = json.loads((GOLDEN / "panoptic_losses.json").read_text())[name]
    logits = torch.from_numpy(np.load(GOLDEN / "panoptic_postprocess.npz")["sem_logits"]).float()[None]
    targets = np.load(GOLDEN / "panoptic_targets.npz")
    target, weights = (torch.from_numpy(targets[f"sigma8.{n}"]).long()[None] for n in ("semantic", "semantic_weights"))
    if weighted:
        logits, target, options["class_weights"] = weighted_pixels(logits, target, weights)
    assert figure(Ohem(spec(logits.shape[1]), **options), logits, target[0]) == pytest.approx(wanted, rel=1e-5)


@golden
@pytest.mark.parametrize(("name", "fraction"), [("loss_top1.0", 1.0), ("loss_top0.2", 0.2)])
def test_golden_values_of_two_images(name, fraction):
    arrays = {key: torch.from_numpy(value) for key, value in np.load(GOLDEN / "tf_topk_ce.npz").items()}
    logits, target, weights = weighted_pixels(arrays["logits"].permute(0, 3, 1, 2), arrays["gt"].long(), arrays["weights"])
    loss = Ohem(spec(10), fraction=fraction, reduction="nonzero", class_weights=weights)
    assert figure(loss, logits, *target) == pytest.approx(float(arrays[name].mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.7}, r"one of fraction and threshold says which pixels are kept; loss\.fraction=0\.2, loss\.threshold=0\.7"),
        ({"fraction": None}, r"loss\.fraction=None, loss\.threshold=None; fix: loss\.fraction=0\.2 loss\.threshold=null, or"),
        ({"fraction": 20}, r"the fraction must be above 0 and at most 1; loss\.fraction=20; fix: loss\.fraction=0\.5"),
        ({"fraction": None, "threshold": 0.0}, r"the threshold must be above 0 and at most 1; loss\.threshold=0\.0"),
        ({"reduction": "mean"}, r"no such reduction; loss\.reduction=mean; fix: loss\.reduction=valid\|batch\|nonzero"),
        ({"fraction": None, "threshold": 0.7, "reduction": "batch"}, r"fix: loss\.reduction=valid; a threshold takes each image's mean"),
        ({"class_weights": [1, 2]}, r"2 class weights for 3 classes; loss\.class_weights; fix: give one for each of c0, c1, c2"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ConfigError, match=message):
        Ohem(spec(3), **options)


def test_a_batch_that_was_cut_keeps_as_many_pixels_as_it_counts():
    """Two micro-batches of different sizes: what they are divided by is what they keep."""
    loss = Ohem(spec(2), fraction=0.5, reduction="batch", fused=False)
    maps = [torch.zeros(8, 8, dtype=torch.int64), torch.zeros(2, 2, dtype=torch.int64)]
    logits = torch.zeros(1, 2, 8, 8)  # every pixel costs ln 2
    sums = [float(loss(SemanticLogits(logits[..., : len(m), : len(m)], 1), batch_of(m))["ohem"]) for m in maps]
    count = loss.count(batch_of(*maps).targets)["ohem"]
    assert count == 34
    assert sum(sums) / count == pytest.approx(math.log(2))
