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
