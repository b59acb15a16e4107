"""What the tests of losses on class logits share."""

import torch

from segexp.types import Batch, ClassInfo, DataSpec, SemanticLogits, Targets


def spec(classes, ignore=255):
    return DataSpec(tuple(ClassInfo(f"c{i}") for i in range(classes)), frozenset({"semantic"}), ignore_index=ignore)


def batch_of(maps):
    sizes = tuple(tuple(m.shape) for m in maps)
    height, width = (max(side) for side in zip(*sizes, strict=True))
    targets = [Targets(semantic=m) for m in maps]
    return Batch(torch.zeros(len(maps), 3, height, width), sizes, sizes, targets, [], tuple(str(i) for i in range(len(maps))))


def certain(maps, classes):
    """Logits [B,K,H,W] that are sure of these classes."""
    return torch.nn.functional.one_hot(torch.stack(maps), classes).permute(0, 3, 1, 2) * 100.0


def example(classes=4, void=True, images=2, seed=0):
    """Random logits [B,K,9,11] and label maps."""
    noise = torch.Generator().manual_seed(seed)
    maps = [torch.randint(0, classes, (9, 11), generator=noise) for _ in range(images)]
    if void:
        for number, m in enumerate(maps):
            m[:, : 2 + number] = 255
    return torch.randn(images, classes, 9, 11, generator=noise), maps


def found(loss, logits, maps, stride=1):
    """(Sum of all terms, gradient of the logits.)"""
    logits = logits.clone().requires_grad_()
    total = sum(loss(SemanticLogits(logits, stride), batch_of(maps)).values())
    return total.detach(), torch.autograd.grad(total, logits)[0]


def reference(value_of_image, logits, maps):
    """The same of a slow form: `value_of_image(p [K,N], labels [N])` in float64 on the labelled pixels of each image."""
    logits = logits.double().requires_grad_()
    total = 0
    for x, labels in zip(logits, maps, strict=True):
        known = labels != 255
        total = total + value_of_image(x.softmax(0)[:, known], labels[known])
    return total.detach(), torch.autograd.grad(total, logits)[0]


def agree(one, other):
    """Values to 1e-5, gradients to 1e-5 of the largest."""
    return torch.allclose(one[0].double(), other[0].double(), rtol=1e-5) and (one[1] - other[1]).abs().max() <= 1e-5 * other[1].abs().max()
