"""What a foreign checkpoint looks like: the network in words, and the overrides that build it here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from segexp.weights.panoptic import BOW_THREE_LOW, D2, D2_DENSE, D2_SEPARABLE, bow
from segexp.weights.schemes import BODY, Scheme

RESNETS = {
    ("basic", 2, 2, 2, 2): "resnet18",
    ("basic", 3, 4, 6, 3): "resnet34",
    ("bottleneck", 3, 4, 6, 3): "resnet50",
    ("bottleneck", 3, 4, 23, 3): "resnet101",
    ("bottleneck", 3, 8, 36, 3): "resnet152",
}
STEMS = {64: "beta", 32: "v1c"}  # by the width of the first of three convolutions
PAIRS = r"(block\d+)\.sep_conv"  # three to a block of an aligned Xception
KAZ_PIXELS = ("backbone.mean=[122.675,116.669,104.008]", "backbone.std=[1,1,1]")  # of red, green and blue
MULTI_GRID = "backbone.multi_grid=[1,2,4]"


@dataclass(frozen=True)
class Look:
    """A network that a file looks like; `str` of it reads "looks like ...: <overrides>"."""

    title: str
    overrides: tuple[str, ...]

    def __str__(self) -> str:
        return f"looks like {self.title}: {' '.join(self.overrides)}"


def looks_like(state: Mapping[str, Tensor], scheme: Scheme) -> Look | None:
    """The network that a file holds, as far as names and shapes tell; None where they don't.

    Output stride, rates and multi-grid leave no trace in the weights: they are proposed as their source trains them; rates only
    where they aren't those that follow from the output stride.
    """
    body = _body(state, scheme)
    name, keys = _backbone(body, scheme)
    model = _MODELS[scheme.name](state, name) if scheme.name in _MODELS else None
    if name is None or model is None:
        return None
    kind, overrides = model
    return Look(f"{scheme.title}'s {kind} on {name}", (*overrides, *keys))


def _body(state: Mapping[str, Tensor], scheme: Scheme) -> dict[str, Tensor]:
    """The backbone's tensors under the names that the rules give first."""
    found = {}
    for name, value in state.items():
        for place in scheme.targets(name)[:1]:
            if place.startswith(BODY):
                found[place.removeprefix(BODY)] = value
    return found


def _backbone(body: Mapping[str, Tensor], scheme: Scheme) -> tuple[str | None, tuple[str, ...]]:
    """Its name in words, and the overrides that choose it."""
    kind = "bottleneck" if "layer1.0.conv3.weight" in body else "basic"
    depths = tuple(len({m[1] for name in body if (m := re.match(rf"layer{stage}\.(\d+)\.", name))}) for stage in (1, 2, 3, 4))
    if name := RESNETS.get((kind, *depths)):
        deep = body.get("conv1.6.weight")  # a stem of three convolutions
        stem = (f"backbone.stem={STEMS.get(len(body['conv1.0.weight']), 'beta')}",) if deep is not None else ()
        return name, (f"backbone={name}", *stem)
    if any(re.match(r"(?:features\.)?16\.block|(?:features\.)?15\.block", name) for name in body):
        return "mobilenet_v3_large", ("backbone=torchvision", "backbone.name=mobilenet_v3_large")
    if any(name.startswith("features.17.conv") for name in body):
        library = "smp" if scheme.name == "smp" else "torchvision"  # with the last convolution, or cut before it
        if scheme.name == "smp" or any(name.startswith("features.18") for name in body):
            return "mobilenet_v2", (f"backbone={library}", "backbone.name=mobilenet_v2")
        return "mobilenet_v2", ("backbone=mobilenet_v2", *(["backbone.layout=pad_first"] if scheme.name == "vf" else []))
    if any(re.match(PAIRS, name) for name in body):
        name = f"xception{len({m[1] for key in body if (m := re.match(PAIRS, key))}) * 3 + 2}"
        return name, (f"backbone={name}", "backbone.layout=tap_first")
    return None, ()


def _tv(state: Mapping[str, Tensor], body: str | None) -> tuple[str, list[str]] | None:
    small = body == "mobilenet_v3_large"
    stride = (
        ["backbone.output_stride=16", "backbone.first_block_dilation=full", "backbone.level_block=first"]
        if small
        else ["backbone.output_stride=8"]
    )
    aux = "aux_classifier.0.weight" in state
    head = ["head=semantic_aux", "loss=auxiliary", *(["head.parts.aux.level=c3"] if small else [])] if aux else []
    kind = " with an auxiliary head" if aux else ""
    if "classifier.cbr.0.weight" in state:
        return "lraspp", ["model=lraspp", *stride]
    if "classifier.0.convs.0.0.weight" in state:
        return f"deeplabv3{kind}", ["model=deeplabv3", *(["decoder.rates=[12,24,36]"] if small else []), *head, *stride]
    if "classifier.0.weight" in state:
        return f"fcn{kind}", ["model=fcn", "decoder.convs=1", "decoder.concat=false", *head, *stride]
    return None


def _smp(state: Mapping[str, Tensor], body: str | None) -> tuple[str, list[str]] | None:
    dilation = "backbone.first_block_dilation=full"
    if "decoder.aspp.0.convs.0.0.weight" in state:
        keys = ["decoder.separable=true", "decoder.post_conv=true", "decoder.fuse_convs=1", "decoder.align_corners=true"]
        return "DeepLabV3Plus", ["model=deeplabv3plus", "decoder.rates=[12,24,36]", *keys, "backbone.output_stride=16", dilation]
    if "decoder.aspp.convs.0.0.weight" in state:
        return "DeepLabV3", ["model=deeplabv3", "backbone.output_stride=8", dilation]
    return None


def _vf(state: Mapping[str, Tensor], body: str | None) -> tuple[str, list[str]] | None:
    separable = any(".body." in name for name in state)
    if "classifier.project.0.weight" in state:
        kind = "DeepLabv3+ with separable convolutions" if separable else "DeepLabv3+"
        keys = [f"decoder.separable={str(separable).lower()}", "decoder.fuse_convs=1"]
        return kind, ["model=deeplabv3plus", *keys, "backbone.output_stride=16"]
    return "DeepLabv3", ["model=deeplabv3", f"decoder.separable={str(separable).lower()}", "backbone.output_stride=16"]


def _kaz(state: Mapping[str, Tensor], body: str | None) -> tuple[str, list[str]] | None:
    caffe = ["backbone.layout=caffe", "backbone.first_block_dilation=full", *KAZ_PIXELS]
    names = {name.removeprefix("base.") for name in state}
    if "aspp.c0.weight" in names:
        return "DeepLabv2", ["model=deeplabv2", "backbone.output_stride=8", *caffe]
    if "reduce.conv.weight" in names:
        return "DeepLabv3+", ["model=deeplabv3plus", "decoder.separable=false", "backbone.output_stride=16", *caffe, MULTI_GRID]
    if "fc1.conv.weight" in names:
        return "DeepLabv3", ["model=deeplabv3", "decoder.post_conv=false", "backbone.output_stride=16", *caffe, MULTI_GRID]
    if "fc.weight" in names:
        return "DeepLabv1 (a 1x1 classifier)", ["decoder=identity", "head.level=c5", "backbone.output_stride=8", *caffe]
    return None


def _bow(state: Mapping[str, Tensor], body: str | None) -> tuple[str, list[str]] | None:
    if any(name.startswith("decoder.instance_decoder.") for name in state):
        return _bow_panoptic(state)
    pool = ["decoder.pool_norm=false", "backbone.output_stride=16"]
    if any(".project.0.weight" in name and ".aspp." not in name for name in state):
        keys = ["decoder.separable=two_norms", "decoder.aspp_separable=false", "decoder.align_corners=true"]
        return "DeepLabv3+", ["model=deeplabv3plus", *keys, *pool]
    return "DeepLabv3", ["model=deeplabv3", *pool]


def _bow_panoptic(state: Mapping[str, Tensor]) -> tuple[str, list[str]]:
    keys, center = [*bow()], state.get("decoder.instance_head.classifier.center.1.weight")
    keys += [f"head.instance_width={center.shape[1]}"] if center is not None and center.shape[1] != 32 else []
    if "decoder.semantic_decoder.project.2.0.weight" not in state:
        return "Panoptic-DeepLab", [*keys, "backbone.output_stride=16"]
    return "Panoptic-DeepLab with three shallow levels", [*keys, *BOW_THREE_LOW, "backbone.output_stride=32"]


def _d2_panoptic(state: Mapping[str, Tensor]) -> tuple[str, list[str]]:
    keys = ["model=panoptic_deeplab", "backbone.output_stride=16", "backbone.first_block_dilation=full", *D2]
    if any(".fuse_conv.depthwise." in name for name in state):
        return "Panoptic-DeepLab with separable convolutions", [*keys, *D2_SEPARABLE]
    return "Panoptic-DeepLab", [*keys, *D2_DENSE]


def _d2(state: Mapping[str, Tensor], body: str | None) -> tuple[str, list[str]] | None:
    if any(name.startswith("ins_embed_head.") for name in state):
        return _d2_panoptic(state)
    keys = ["decoder.pool_norm=bias", "backbone.output_stride=16", "backbone.first_block_dilation=full", MULTI_GRID]
    if any(".fuse_conv.depthwise." in name for name in state):
        separable = ["decoder.separable=two_norms", "decoder.fuse_convs=1", "decoder.fuse_kernel=5"]
        return "DeepLabv3+ with separable convolutions", ["model=deeplabv3plus", *separable, *keys]
    if any(".decoder.res2." in name for name in state):
        return "DeepLabv3+", ["model=deeplabv3plus", "decoder.separable=false", *keys]
    if any(name.startswith("sem_seg_head.aspp.") for name in state):
        return "DeepLabv3", ["model=deeplabv3", "decoder.post_conv=false", *keys]
    return None


_MODELS = {"tv": _tv, "smp": _smp, "vf": _vf, "kaz": _kaz, "bow": _bow, "d2": _d2}
