"""Conventions of published code that timm's networks don't have by themselves: `backbone.stem` and `backbone.layout`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from segexp.errors import ConfigError
from segexp.functional.imports import without

with without("wandb"):  # timm imports it for a training script of its own
    import timm

STEMS = {  # of ResNets: what timm builds them from
    "7x7": {"stem_type": "", "stem_width": 64},
    "v1c": {"stem_type": "deep", "stem_width": 32},
    "beta": {"stem_type": "deep", "stem_width": 64},
}


class Networks(NamedTuple):
    """A kind of timm's networks: what they are called, one of them, and which they are by name."""

    title: str
    example: str
    has: Callable[[str], bool]


def _nothing(net: Any) -> None:
    pass


class Layout(NamedTuple):
    """A convention: of which networks, what it changes before and after they are dilated, and the levels whose cells don't fit the grid."""

    networks: Networks
    before: Callable[[Any], None] = _nothing
    after: Callable[[Any], None] = _nothing
    lacks: tuple[str, ...] = ()


def stem_of(name: str, stem: str | None) -> dict[str, Any]:
    """What timm builds a stem from; nothing for the network's own.

    Raises:
        ConfigError: there is no such stem, or the network isn't a ResNet.
    """
    if stem is None:
        return {}
    if stem not in STEMS:
        raise ConfigError("no such stem", where=f"backbone.stem={stem}", fix=f"backbone.stem={'|'.join(STEMS)}")
    _require(name, RESNETS, f"backbone.stem={stem}")
    return STEMS[stem]


def layout_of(name: str, layout: str | None) -> Layout:
    """The layout of that name; one that changes nothing for the network's own.

    Raises:
        ConfigError: there is no such layout, or the network is of another kind.
    """
    if layout is None:
        return Layout(RESNETS)
    if layout not in LAYOUTS:
        raise ConfigError("no such layout", where=f"backbone.layout={layout}", fix=f"backbone.layout={'|'.join(LAYOUTS)}")
    _require(name, LAYOUTS[layout].networks, f"backbone.layout={layout}")
    return LAYOUTS[layout]


def _require(name: str, networks: Networks, where: str) -> None:
    if not networks.has(name):
        fix = f"{where.partition('=')[0]}=null, or backbone={networks.example}"
        raise ConfigError(f"{name} is no {networks.title} of timm", where=where, fix=fix)


def _stride_first(net: Any) -> None:
    for block in (module for module in net.modules() if hasattr(module, "conv3")):
        block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


def _round_up(net: Any) -> None:
    net.maxpool.ceil_mode = True


def _pad_first(net: Any) -> None:
    """What is padded before the expansion becomes its bias at the border, where the other form has zeros; the stem pads nothing."""
    net.conv_stem.padding = (0, 0)
    for block in (module for module in net.modules() if hasattr(module, "conv_pwl")):
        block.conv_pw.padding, block.conv_dw.padding = block.conv_dw.padding, (0, 0)


def _tap_first(net: Any) -> None:
    """The ReLU at which a block's level is tapped moves into the convolution behind it."""
    for level in net.feature_info.get_dicts()[:-1]:
        stack = net.get_submodule(level["module"].replace(".", "_", 1).rpartition(".")[0])
        stack.act3.forward = _same
        stack.conv3.register_forward_pre_hook(_rectified)


def _same(x: Tensor) -> Tensor:
    return x


def _rectified(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    return F.relu(inputs[0])


RESNETS = Networks("ResNet", "resnet50", lambda name: timm.models.model_entrypoint(name).__module__ == "timm.models.resnet")
MOBILE = Networks("MobileNetV2", "mobilenet_v2", lambda name: name.startswith("mobilenetv2_"))
ALIGNED = Networks("aligned Xception", "xception65", lambda name: name in ("xception41", "xception65", "xception71"))

LAYOUTS = {
    "v1.5": Layout(RESNETS),
    "caffe": Layout(RESNETS, before=_stride_first, after=_round_up),
    "pad_first": Layout(MOBILE, after=_pad_first, lacks=("c1",)),
    "tap_first": Layout(ALIGNED, after=_tap_first),
}
