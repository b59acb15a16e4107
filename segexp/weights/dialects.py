"""One backbone, named by several libraries: from the names of a published file to those of the network in our model."""

from __future__ import annotations

import re
from collections.abc import Iterator

_MOBILENET_V2_BLOCKS = (1, 2, 3, 4, 3, 3, 1)  # of each stage (Sandler et al., 2018, table 2)
_EXPANDED = {"0.0": "conv_pw", "0.1": "bn1", "1.0": "conv_dw", "1.1": "bn2", "2": "conv_pwl", "3": "bn3"}
_FIRST = {"0.0": "conv_dw", "0.1": "bn1", "1": "conv_pw", "2": "bn2"}  # the block that doesn't expand
_XCEPTION_PARTS = {"depthwise": "conv_dw", "bn_depth": "bn_dw", "pointwise": "conv_pw", "bn_point": "bn_pw"}
_PARAMETER = r"\.(weight|bias|running_mean|running_var|num_batches_tracked)"


def spellings(name: str) -> Iterator[str]:
    """The names that a backbone's weight may have in our libraries, the given one first."""
    yield name
    yield f"features.{name}"  # torchvision cuts the classifier's `features` out for its segmenters
    for convert in (mobilenet_v2, xception):
        if (other := convert(name)) is not None:
            yield other


def mobilenet_v2(name: str) -> str | None:
    """torchvision's name of a MobileNetV2's weight to timm's; None where it isn't one."""
    match = re.fullmatch(rf"features\.(\d+)\.(?:conv\.)?([\d.]+?){_PARAMETER}", name)
    if match is None:
        return None
    index, part, parameter = int(match[1]), match[2], match[3]
    if index == 0:
        return {"0": f"conv_stem.{parameter}", "1": f"bn1.{parameter}"}.get(part)
    stage, block = _stage(index - 1)
    if stage is None:
        return {"0": f"conv_head.{parameter}", "1": f"bn2.{parameter}"}.get(part)
    inner = (_FIRST if index == 1 else _EXPANDED).get(part)
    return None if inner is None else f"blocks.{stage}.{block}.{inner}.{parameter}"


def _stage(index: int) -> tuple[int | None, int]:
    """The stage of the n-th block, and its place in it; None after the last."""
    for stage, blocks in enumerate(_MOBILENET_V2_BLOCKS):
        if index < blocks:
            return stage, index
        index -= blocks
    return None, index


def xception(name: str) -> str | None:
    """The name of an aligned Xception's weight in the form `blockN.sep_convK.block.depthwise` to timm's; None where it isn't one."""
    if match := re.fullmatch(rf"block(\d+)\.sep_conv(\d)\.(?:block\.)?(\w+){_PARAMETER}", name):
        inner = _XCEPTION_PARTS.get(match[3])
        return None if inner is None else f"blocks.{int(match[1]) - 1}.stack.conv{match[2]}.{inner}.{match[4]}"
    if match := re.fullmatch(rf"block(\d+)\.(conv|bn){_PARAMETER}", name):
        return f"blocks.{int(match[1]) - 1}.shortcut.{match[2]}.{match[3]}"
    if match := re.fullmatch(rf"(conv|bn)([12]){_PARAMETER}", name):
        return f"stem.{int(match[2]) - 1}.{match[1]}.{match[3]}"
    return None


def flat(name: str) -> str:
    """The form in which timm's networks and their cut-outs agree: `stages.0` and `stages_0`."""
    return name.replace(".", "_")
