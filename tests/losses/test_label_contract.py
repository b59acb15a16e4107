"""The one label contract, over every file of conf/loss: ignored pixels have no influence and no gradient."""

from pathlib import Path

import pytest
import torch

from segexp.config import compose, conf_dir, make
from segexp.types import Batch, ClassInfo, DataSpec, SemanticLogits, Targets

SPEC = DataSpec(tuple(ClassInfo(f"c{i}") for i in range(5)), frozenset({"semantic"}))
LOSSES = sorted(p.stem for p in (conf_dir() / "loss").glob("*.yaml"))


def make_batch(maps):
    sizes = tuple(tuple(m.shape) for m in maps)
    targets = [Targets(semantic=m) for m in maps]
    return Batch(torch.zeros(len(maps), 3, *sizes[0]), sizes, sizes, targets, [], tuple("ab"))


@pytest.fixture(params=LOSSES)
def loss(request):
    return make(compose("train", [f"loss={request.param}"]).loss)(SPEC)


def run(loss, logits, maps):
    logits = logits.clone().requires_grad_()
    sums = loss(SemanticLogits(logits, 4), make_batch(maps))
    torch.stack(list(sums.values())).sum().backward()
    return sums, logits.grad


def test_every_loss_is_tested():
    assert sorted(p.stem for p in Path(conf_dir(), "loss").iterdir()) == LOSSES


def test_what_is_written_at_ignored_pixels_does_not_matter(loss):
    logits = torch.randn(2, 5, 4, 6)
    maps = [torch.randint(0, 5, (16, 24)) for _ in range(2)]
    for m in maps:
        m[:, 12:] = 255
    sums, gradient = run(loss, logits, maps)
    other = logits.clone()
    other[..., 5:] += 100  # cells whose whole influence lies in ignored columns
    again, gradient_again = run(loss, other, maps)
    assert gradient[..., 5:].abs().max() == 0
    for name in sums:
        assert torch.isfinite(sums[name])
        assert torch.allclose(sums[name], again[name], rtol=1e-6)
    assert torch.allclose(gradient, gradient_again, rtol=1e-5)
    assert gradient.abs().sum() > 0


def test_all_pixels_ignored_gives_zero_with_zero_gradient(loss):
    maps = [torch.full((16, 24), 255) for _ in range(2)]
    sums, gradient = run(loss, torch.randn(2, 5, 4, 6), maps)
    assert all(float(value) == 0 for value in sums.values())
    assert gradient.abs().max() == 0
    assert all(value == 0 for value in loss.count([Targets(semantic=m) for m in maps]).values())


def test_sums_and_counts_add_up_over_images(loss):
    logits, maps = torch.randn(2, 5, 4, 6), [torch.randint(0, 5, (16, 24)) for _ in range(2)]
    whole, _ = run(loss, logits, maps)
    parts = [run(loss, logits[i : i + 1], maps[i : i + 1])[0] for i in range(2)]
    for name in whole:
        assert torch.allclose(whole[name], parts[0][name] + parts[1][name], rtol=1e-5)
    targets = [Targets(semantic=m) for m in maps]
    for name, value in loss.count(targets).items():
        assert value == pytest.approx(loss.count(targets[:1])[name] + loss.count(targets[1:])[name])
