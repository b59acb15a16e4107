"""The fused cross-entropy against torch's on upsampled logits: value, gradient, refusals."""

import pytest
import torch
from torch.nn import functional as F

from segexp.errors import SegexpError
from segexp.functional import upsampled_loss
from segexp.functional.upsampled_loss import Terms, is_fused, summed_cross_entropy

WEIGHTS = torch.linspace(0.2, 3, 17)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Small batches through the fused form, cut into several strips."""
    monkeypatch.setattr(upsampled_loss, "FUSED_FROM", 0)
    monkeypatch.setattr(upsampled_loss, "CHOSEN_FROM", 0)
    monkeypatch.setattr(upsampled_loss, "WORKING_SET", 12_000)


def case(stride=4, cells=(9, 12), size=(33, 45), classes=17, batch=2, seed=0):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, classes, *cells, generator=rng)
    target = torch.randint(0, classes, (batch, *size), generator=rng)
    target[torch.rand(target.shape, generator=rng) < 0.2] = 255
    target[0, :7] = 255
    return logits, target, stride


def torch_says(logits, target, stride, *, weight=None, smoothing=0.0, pixels=None):
    logits = logits.clone().requires_grad_()
    full = F.interpolate(logits, scale_factor=stride, mode="bilinear", align_corners=False)[..., : target.shape[1], : target.shape[2]]
    losses = F.cross_entropy(full, target, weight=weight, ignore_index=255, label_smoothing=smoothing, reduction="none")
    total = (losses.double() if pixels is None else losses.double() * pixels).sum()
    total.backward()
    return float(total.detach()), logits.grad


def fused_says(logits, target, stride, terms):
    assert is_fused(logits, target, stride, terms)
    logits = logits.clone(memory_format=torch.preserve_format).requires_grad_()
    total = summed_cross_entropy(logits, target, stride, terms)
    total.backward()
    return float(total.detach()), logits.grad


def assert_close(found, wanted):
    assert found[0] == pytest.approx(wanted[0], rel=1e-6)
    assert float((found[1] - wanted[1]).abs().max()) <= 2e-6 * float(wanted[1].abs().max())


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["even", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("stride", "cells", "size"),
    [(4, (9, 12), (33, 45)), (4, (9, 12), (36, 48)), (8, (5, 3), (40, 17)), (2, (7, 7), (13, 14)), (16, (1, 1), (9, 16))],
)
def test_value_and_gradient_are_those_of_torch(stride, cells, size, smoothing, weight):
    logits, target, stride = case(stride, cells, size)
    assert_close(
        fused_says(logits, target, stride, Terms(255, weight, smoothing)),
        torch_says(logits, target, stride, weight=weight, smoothing=smoothing),
    )


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 5])
def test_any_layout_and_batch(layout, batch):
    logits, target, stride = case(batch=batch)
    assert_close(fused_says(logits.contiguous(memory_format=layout), target, stride, Terms(255)), torch_says(logits, target, stride))


def test_extreme_logits_stay_finite():
    logits, target, stride = case()
    assert_close(fused_says(200 * logits, target, stride, Terms(255)), torch_says(200 * logits, target, stride))


def test_pixels_chosen_by_their_loss():
    logits, target, stride = case()
    seen = []

    def choose(losses):
        seen.append(losses)
        return (losses > 2) * 0.5

    found = fused_says(logits, target, stride, Terms(255, choose=choose))
    full = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)[..., :33, :45]
    losses = F.cross_entropy(full, target, ignore_index=255, reduction="none")
    assert torch.allclose(seen[0], losses, rtol=1e-5, atol=1e-5)
    assert_close(found, torch_says(logits, target, stride, pixels=(seen[0] > 2) * 0.5))


def test_all_ignored_gives_zero_with_zero_gradient():
    logits, target, stride = case()
    value, gradient = fused_says(logits, torch.full_like(target, 255), stride, Terms(255, WEIGHTS, 0.1))
    assert value == 0
    assert gradient.abs().max() == 0


def test_an_ignored_class_inside_the_range():
    logits, target, stride = case()
    target[target == 255] = 3
    logits.requires_grad_()
    total = summed_cross_entropy(logits, target, stride, Terms(3))
    plain = summed_cross_entropy(logits, target, stride, Terms(3), fused=False)
    assert total.item() == pytest.approx(plain.item(), rel=1e-6)


def test_the_gradient_scales_with_what_follows_and_is_kept_for_a_second_pass():
    logits, target, stride = case()
    logits.requires_grad_()
    total = summed_cross_entropy(logits, target, stride, Terms(255))
    (first,) = torch.autograd.grad(3 * total, logits, retain_graph=True)
    (second,) = torch.autograd.grad(total, logits)
    assert torch.allclose(first, 3 * second)


@pytest.mark.parametrize(
    "terms", [Terms(255), Terms(255, WEIGHTS, 0.1), Terms(255, choose=lambda losses: (losses > 2) * 0.5)], ids=["", "weighted", "chosen"]
)
def test_without_gradient_the_value_is_the_same(terms):
    logits, target, stride = case()
    with torch.no_grad():
        value = summed_cross_entropy(logits.clone().requires_grad_(), target, stride, terms)
    assert not value.requires_grad
    assert value.item() == pytest.approx(fused_says(logits, target, stride, terms)[0], rel=1e-6)


def test_two_passes_give_the_same_bits():
    first, second = (fused_says(*case(), Terms(255, WEIGHTS, 0.1)) for _ in range(2))
    assert first[0] == second[0]
    assert torch.equal(first[1], second[1])


def test_a_second_derivative_is_refused_and_the_plain_form_has_one():
    logits, target, stride = case()
    logits.requires_grad_()
    with pytest.raises(SegexpError, match=r"the fused loss can't be differentiated twice; loss; fix: loss\.fused=false"):
        torch.autograd.grad(summed_cross_entropy(logits, target, stride, Terms(255)), logits, create_graph=True)
    total = summed_cross_entropy(logits, target, stride, Terms(255), fused=False)
    (slope,) = torch.autograd.grad(total, logits, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.square().sum(), logits)
    assert curvature.abs().sum() > 0


def test_autocast_computes_in_float32():
    logits, target, stride = case()
    logits = logits.bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = summed_cross_entropy(logits * 1, target, stride, Terms(255))
    total.backward()
    wanted = torch_says(logits.detach().float(), target, stride)
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(wanted[0], rel=1e-6)
    assert logits.grad.dtype == torch.bfloat16
    assert torch.allclose(logits.grad.float(), wanted[1], rtol=1e-2, atol=1e-2)


def test_where_the_plain_form_is_taken(monkeypatch):
    logits, target, _ = case()
    terms, chosen = Terms(255), Terms(255, choose=torch.ones_like)
    assert not is_fused(logits, target, 1, terms)  # nothing to upsample
    assert not is_fused(logits[:, :15], target, 4, terms)  # too few classes
    assert not is_fused(logits.to("meta"), target, 4, terms)
    monkeypatch.setattr(upsampled_loss, "CHOSEN_FROM", 17 * target.numel() + 1)
    assert is_fused(logits, target, 4, terms)
    assert not is_fused(logits, target, 4, chosen)  # a batch too small for two passes
    monkeypatch.setattr(upsampled_loss, "FUSED_FROM", 17 * target.numel() + 1)
    assert not is_fused(logits, target, 4, terms)  # a small batch


def test_only_the_gradient_at_the_size_of_the_logits_is_kept():
    logits, target, stride = case(cells=(16, 16), size=(64, 64))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        summed_cross_entropy(logits.requires_grad_(), target, stride, Terms(255))
    assert sum(kept) == logits.numel()
