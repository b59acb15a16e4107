"""Every option of conf/backbone: levels of the promised shapes for images that fit its strides and that don't."""

import pytest
import torch

from segexp.build import BACKBONE_MACHINERY
from segexp.config import compose, conf_dir, make
from segexp.decoders.identity import Identity
from segexp.model import Model
from segexp.types import ClassInfo, DataSpec

SPEC = DataSpec((ClassInfo("a"), ClassInfo("b")), frozenset({"semantic"}))
NAMES = {"timm": "resnet18", "torchvision": "resnet18", "smp": "resnet18"}
OPTIONS = sorted(path.stem for path in (conf_dir() / "backbone").glob("*.yaml"))


def model(option, *overrides):
    late = [f"backbone.name={NAMES[option]}"] if option in NAMES else []
    section = compose("train", [f"backbone={option}", *late, *overrides]).backbone
    body = make({key: value for key, value in section.items() if key not in (*BACKBONE_MACHINERY, "weights")}, key="backbone")(SPEC)
    return Model(body, Identity(body.spec), torch.nn.Identity(), None).eval()


@pytest.mark.parametrize("option", OPTIONS)
def test_levels_have_the_promised_shapes(option):
    with torch.device("meta"):
        net = model(option)
        for size in ((64, 96), (65, 97)):
            levels, pad = net.features(torch.zeros(2, 3, *size)), net.backbone.pad_to
            padded = [-(-side // pad) * pad for side in size]
            for name, (channels, stride) in net.backbone.spec.items():
                assert levels[name].shape == (2, channels, *(side // stride for side in padded)), (name, size)


@pytest.mark.parametrize("option", ["resnet18", "resnet50", "mobilenet_v2", "efficientnet_lite0", "convnext_atto", "regnety_002"])
def test_the_usual_ones_have_output_stride_16_unless_told(option):
    with torch.device("meta"):
        assert model(option).backbone.spec["c5"].stride == 16
        assert model(option, "backbone.output_stride=32").backbone.spec["c5"].stride == 32
