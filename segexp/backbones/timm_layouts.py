"""Conventions of published code that timm's networks don't have by themselves: `backbone.stem` and `backbone.layout`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

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


def _features(name: str, **options: Any) -> Any:
    return timm.create_model(name, features_only=True, **options)


class Layout(NamedTuple):
    """A convention: whose it is, how they are made, what changes before and after they are dilated, and levels that don't fit the grid."""

    networks: Networks
    create: Callable[..., Any] = _features
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
    if not isinstance(stem, str) or stem not in STEMS:
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
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise ConfigError("no such layout", where=f"backbone.layout={layout}", fix=f"backbone.layout={'|'.join(LAYOUTS)}")
    _require(name, LAYOUTS[layout].networks, f"backbone.layout={layout}")
    return LAYOUTS[layout]


def _require(name: str, networks: Networks, where: str) -> None:
    if not networks.has(name):
        fix = f"{where.partition('=')[0]}=null, or backbone={networks.example}"
        raise ConfigError(f"{name} is no {networks.title} of timm", where=where, fix=fix)


def _stride_first(net: Any) -> None:
    """Swap the strides of a block's first two convolutions.

    Raises:
        ConfigError: a third layer has the stride, which blurs.
    """
    for block in (module for module in net.modules() if hasattr(module, "conv3")):
        if block.stride > 1 and max(block.conv2.stride) == 1:
            raise ConfigError(
                f"the stride of its blocks lies in {type(block.aa).__name__}, not in a convolution",
                where="backbone.layout=caffe",
                fix=f"backbone.layout=null, or backbone={RESNETS.example}",
            )
        block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


def _round_up(net: Any) -> None:
    net.maxpool.ceil_mode = True


def _pad_first(net: Any) -> None:
    """What is padded before the expansion becomes its bias at the border, where the other form has zeros; the stem pads nothing."""
    net.conv_stem.padding = (0, 0)
    for block in (module for module in net.modules() if hasattr(module, "conv_pwl")):
        block.conv_pw.padding, block.conv_dw.padding = block.conv_dw.padding, (0, 0)


def _tapped_first(name: str, **options: Any) -> Any:
    """Levels c1 to c3 before the ReLU at which timm taps a block, c4 before the block."""
    whole: Any = timm.create_model(name, **options)
    *shallow, fourth, _ = whole.feature_info
    for level in shallow:
        block = level["module"].rpartition(".")[0]
        whole.get_submodule(f"{block}.act3").inplace = False
        level["module"] = f"{block}.conv2"
    number = int(fourth["module"].split(".")[1]) - 1
    fourth |= {"module": f"blocks.{number}", "num_chs": whole.blocks[number].out_channels}
    return timm.models.FeatureHookNet(whole, out_indices=tuple(range(len(whole.feature_info))), flatten_sequential=True)


RESNETS = Networks("ResNet", "resnet50", lambda name: timm.models.model_entrypoint(name).__module__ == "timm.models.resnet")
MOBILE = Networks("MobileNetV2", "mobilenet_v2", lambda name: name.startswith("mobilenetv2_"))
ALIGNED = Networks("aligned Xception", "xception65", lambda name: name in ("xception41", "xception65", "xception71"))

BRANCHED = Networks("HRNet", "timm backbone.name=hrnet_w48", lambda name: name.startswith("hrnet_"))

LAYOUTS = {
    "v1.5": Layout(RESNETS),
    "caffe": Layout(RESNETS, before=_stride_first, after=_round_up),
    "pad_first": Layout(MOBILE, after=_pad_first, lacks=("c1",)),
    "tap_first": Layout(ALIGNED, create=_tapped_first),
    "branches": Layout(BRANCHED, create=partial(_features, feature_location="")),
}
