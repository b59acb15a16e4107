"""Networks for tests of protocols: one that tells left from right, and one that sees one pixel at a time."""

import torch
from torch import nn

from segexp.model import Model
from segexp.postprocess.argmax import ArgMax
from segexp.types import ClassInfo, DataSpec, Level, SemanticLogits

CLASSES = 5
SPEC = DataSpec(tuple(ClassInfo(str(i)) for i in range(CLASSES)), frozenset({"semantic"}))
SIZES = ((37, 51), (30, 44), (37, 20))


class Lopsided(nn.Module):
    """A backbone that tells left from right."""

    def __init__(self, stride=4):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, stride, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1))
        self.spec, self.pad_to, self.mean, self.std = {"c2": Level(8, stride)}, 8, (0.4, 0.5, 0.6), (0.2, 0.3, 0.2)

    def forward(self, images):
        return {"c2": self.net(images)}


class Decoder(nn.Identity):
    spec = {}


class Head(nn.Module):
    output_type, needs = SemanticLogits, frozenset()

    def __init__(self, stride=4):
        super().__init__()
        self.classify, self.stride = nn.Conv2d(8, CLASSES, 1), stride

    def forward(self, features, sizes, targets=None):
        return SemanticLogits(self.classify(features["c2"]) * 5, self.stride)


def model(protocol=None):
    torch.manual_seed(0)
    return Model(Lopsided(), Decoder(), Head(), ArgMax(SPEC), protocol).eval()


def batch(sizes=SIZES):
    """Noise beyond the valid sizes, too: it must not matter."""
    return torch.rand(len(sizes), 3, max(h for h, _ in sizes), max(w for _, w in sizes), generator=torch.Generator().manual_seed(1))


def pointwise(images, sizes):
    """A network that sees one pixel at a time."""
    weights = torch.linspace(-3, 3, 3 * CLASSES).view(CLASSES, 3)
    return SemanticLogits(torch.einsum("kc,bchw->bkhw", weights, images), 1)
