"""With the same weights, features at output stride 8, 16 and 32 agree at the positions that they share."""

import pytest
import torch
from torch import nn

from segexp.backbones.geometry import POOLS_GLOBALLY
from segexp.build import BACKBONE_MACHINERY
from segexp.config import compose, conf_dir, make
from segexp.types import ClassInfo, DataSpec

SPEC = DataSpec((ClassInfo("a"),), frozenset({"semantic"}))
OTHERS = {"timm", "torchvision", "smp", "mit_b0", "vit_tiny", "efficientnet_lite0_in1k"}  # of any name; transformers; weights of a file
OPTIONS = sorted({path.stem for path in (conf_dir() / "backbone").glob("*.yaml")} - OTHERS)
OVERRIDES = {"vgg16": ["backbone.dilate_pools=true"]}  # as published, the last pool isn't
# An odd size is kept by all but pools and kernels without a centre, which see what lies beyond the right and the lower edge.
SIZES = {"resnet10t": (161, 193), "convnext_atto": (161, 193), "convnext_tiny": (161, 193)}
GATES = ("SqueezeExcite", "SEModule")


class Gate(nn.Module):
    """A squeeze-and-excitation whose gates don't depend on the map."""

    def forward(self, x):
        return 0.5 * x


def built(option, stride, fixed):
    section = compose("train", [f"backbone={option}", f"backbone.output_stride={stride}", *OVERRIDES.get(option, [])]).backbone
    torch.manual_seed(0)
    net = make({key: value for key, value in section.items() if key not in BACKBONE_MACHINERY}, key="backbone")(SPEC).eval()
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    for name in [name for name, module in net.named_modules() if fixed and type(module).__name__ in GATES]:
        parent, _, child = name.rpartition(".")
        setattr(net.get_submodule(parent), child, Gate())
    return net


def distance(option, stride, fixed=True):
    """The largest difference at shared positions away from the edges, in standard deviations where these are above 1."""
    images = torch.randn(1, 3, *SIZES.get(option, (97, 129)), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, dilated = (built(option, s, fixed)(images)["c5"] for s in (32, stride))
    step = 32 // stride
    height, width = whole.shape[-2:]
    shared = dilated[..., ::step, ::step][..., :height, :width]
    assert shared.shape == whole.shape
    edge = 2 if option in SIZES else 0
    inner = (..., slice(edge, height - edge), slice(edge, width - edge))
    assert whole[inner].std() > 0
    return ((whole - shared)[inner].abs().max() / whole.std().clamp(min=1)).item()


BOTH = ("resnet10t", "resnet18", "mobilenet_v2", "efficientnet_lite0", "convnext_atto", "vgg16")  # the rest at 8, which dilates two stages


@pytest.mark.parametrize(("option", "stride"), [(o, 8) for o in OPTIONS] + [(o, 16) for o in BOTH])
def test_features_agree_at_shared_positions(option, stride):
    assert distance(option, stride) <= 1e-4


def test_those_with_gates_are_listed():
    plain = ("resnet10t", "convnext_atto", "mobilenet_v2", "efficientnet_lite0", "vgg16", "xception")
    assert all(gates_of(option) for option in POOLS_GLOBALLY)
    assert not any(gates_of(option) for option in plain)


def gates_of(option):
    section = compose("train", [f"backbone={option}", "backbone.output_stride=32"]).backbone
    with torch.device("meta"):
        net = make({key: value for key, value in section.items() if key not in BACKBONE_MACHINERY}, key="backbone")(SPEC)
    return [module for module in net.modules() if type(module).__name__ in GATES]


def test_their_gates_move_with_the_stride():
    assert distance("mobilenet_v3_small", 8, fixed=False) > 1e-3
