"""Cross-entropy against torch's mean, and by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from segexp.errors import ConfigError
from segexp.losses.cross_entropy import CrossEntropy
from segexp.types import Batch, ClassInfo, DataSpec, SemanticLogits, Targets

SPEC = DataSpec(tuple(ClassInfo(f"c{i}") for i in range(3)), frozenset({"semantic"}))


def batch_of(*maps):
    sizes = tuple(tuple(m.shape) for m in maps)
    return Batch(torch.zeros(len(maps), 3, *sizes[0]), sizes, sizes, [Targets(semantic=m) for m in maps], [], ("a",) * len(maps))


@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 1.0)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_sum_over_count_is_the_mean_of_torch(weights, smoothing):
    loss = CrossEntropy(SPEC, class_weights=weights, label_smoothing=smoothing)
    target = torch.randint(0, 3, (2, 8, 12))
    target[:, :3] = 255
    logits = torch.randn(2, 3, 2, 3)
    batch = batch_of(*target)
    found = loss(SemanticLogits(logits, 4), batch)["ce"] / loss.count(batch.targets)["ce"]
    full = F.interpolate(logits, (8, 12), mode="bilinear")
    weight = None if weights is None else torch.tensor(weights)
    assert torch.allclose(found, F.cross_entropy(full, target, weight=weight, ignore_index=255, label_smoothing=smoothing), rtol=1e-5)


def test_by_hand():
    logits = torch.zeros(1, 3, 1, 1)
    logits[0, 1] = math.log(2)  # probabilities 1/4, 1/2, 1/4
    loss = CrossEntropy(SPEC, weight=3.0)
    batch = batch_of(torch.tensor([[1, 255], [0, 1]]))
    assert float(loss(SemanticLogits(logits, 2), batch)["ce"]) == pytest.approx(3 * (2 * math.log(2) + math.log(4)))
    assert loss.count(batch.targets) == {"ce": 3.0}


def test_images_of_two_sizes_count_their_own_pixels():
    loss = CrossEntropy(SPEC)
    batch = batch_of(torch.zeros(4, 8, dtype=torch.int64), torch.zeros(8, 4, dtype=torch.int64))
    total = loss(SemanticLogits(torch.zeros(2, 3, 2, 2), 4), batch)["ce"]
    assert float(total) == pytest.approx(64 * math.log(3), rel=1e-5)


def test_class_weights_must_match_the_classes():
    with pytest.raises(ConfigError, match=r"2 class weights for 3 classes; loss.class_weights; fix: give one for each of c0, c1, c2"):
        CrossEntropy(SPEC, class_weights=[1, 2])


@pytest.mark.parametrize("options", [{}, {"class_weights": [1.0] * 8 + [3.0] * 9, "label_smoothing": 0.1}], ids=str)
def test_large_batches_of_two_sizes_give_the_same_fused_and_plain(options):
    data = DataSpec(tuple(ClassInfo(f"c{i}") for i in range(17)), frozenset({"semantic"}))
    rng = torch.Generator().manual_seed(0)
    maps = [torch.randint(0, 17, size, generator=rng) for size in ((190, 200), (160, 197))]
    maps[0][:30] = 255
    found = []
    for fused in (True, False):
        logits = torch.randn(2, 17, 48, 50, generator=torch.Generator().manual_seed(1)).requires_grad_()
        total = CrossEntropy(data, weight=0.5, fused=fused, **options)(SemanticLogits(logits, 4), batch_of(*maps))["ce"]
        total.backward()
        found.append((total, logits.grad))
    assert not torch.equal(found[0][1], found[1][1])  # two forms were run, not one twice
    assert torch.allclose(found[0][0], found[1][0], rtol=1e-6)
    assert float((found[0][1] - found[1][1]).abs().max()) <= 2e-6 * float(found[1][1].abs().max())


def test_distributed_training_goes_through_the_fused_form(tmp_path):
    data = DataSpec(tuple(ClassInfo(f"c{i}") for i in range(17)), frozenset({"semantic"}))
    rng = torch.Generator().manual_seed(0)
    images, maps = torch.randn(2, 4, 48, 50, generator=rng), torch.randint(0, 17, (2, 190, 200), generator=rng)
    net, loss, gradients = torch.nn.Conv2d(4, 17, 1), CrossEntropy(data), []
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    try:
        for model in (net, torch.nn.parallel.DistributedDataParallel(net)):
            net.zero_grad()
            loss(SemanticLogits(model(images), 4), batch_of(*maps))["ce"].backward()
            gradients.append(net.weight.grad.clone())
    finally:
        torch.distributed.destroy_process_group()
    assert torch.equal(*gradients)
