"""Overrides that give the published panoptic networks, for what a file looks like and for the table of published models."""

from __future__ import annotations


def both(**keys: str) -> tuple[str, ...]:
    """Overrides of both decoders of a panoptic model."""
    return tuple(f"decoder.parts.{part}.{key}={value}" for part in ("semantic", "instance") for key, value in keys.items())


def bow(**keys: str) -> tuple[str, ...]:
    """The network of Panoptic-DeepLab's authors; `keys` are more of both decoders."""
    return ("model=panoptic_deeplab", "head.align_corners=true", *both(align_corners="true", pool_norm="false", **keys))


BOW_THREE_LOW = (  # that read three shallow levels
    *("decoder.parts.semantic.low=[c4,c3,c2]", "decoder.parts.semantic.low_width=[128,64,32]"),
    *("decoder.parts.instance.low=[c4,c3,c2]", "decoder.parts.instance.low_width=[64,32,16]"),
)
D2 = ("decoder.parts.instance.low_width=[64,32]", *both(pool_norm="bias"))  # Detectron2's decoders, with one of these:
D2_DENSE = (
    *both(separable="false", aspp_separable="null", fuse_convs="2", fuse_kernel="3"),
    *("head.separable=false", "head.kernel=3", "head.convs=2"),
)
D2_SEPARABLE = (*both(aspp_separable="null"), "head.center_dense=true")
